/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/fd-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/process.h"

/* Each figure is looked for where it is exact, then where it is nearly so. A container without controllers still gets
 * figures, by the processes' own. */

/* A v1 file of the sandbox's scope, which has the same path in every tree. */
static int v1_path(const Sandbox *s, const char *file, char ret[256]) {
        return snprintf(ret, 256, "%s/%s", s->cgroup_path + 1, file) < 256 ? 0 : -ENAMETOOLONG;
}

static int v1_read_u64(const Sandbox *s, CgroupV1 controller, const char *file, uint64_t *ret) {
        int fd = s->manager->cgroups.v1_fds[controller];
        char path[256];

        if (fd < 0 || v1_path(s, file, path) < 0)
                return -ENOENT;
        return cgroup_read_u64(fd, path, ret);
}

uint64_t stats_oom_kills(const Sandbox *s) {
        int fd = s->manager->cgroups.v1_fds[CGROUP_V1_MEMORY];
        uint64_t kills = 0;
        char path[256];

        if (s->cgroup_fd >= 0 && cgroup_read_key(s->cgroup_fd, "memory.events", "oom_kill", &kills) >= 0)
                return kills;
        if (fd >= 0 && v1_path(s, "memory.oom_control", path) >= 0)
                (void) cgroup_read_key(fd, path, "oom_kill", &kills);
        return kills;
}

static void read_cpu(const Sandbox *s, SandboxStats *st) {
        uint64_t nsec;

        /* cpu.stat is there without the controller too. */
        if (cgroup_read_key(s->cgroup_fd, "cpu.stat", "usage_usec", &st->cpu_usec) >= 0)
                return;
        if (v1_read_u64(s, CGROUP_V1_CPU, "cpuacct.usage", &nsec) >= 0)
                st->cpu_usec = nsec / NSEC_PER_USEC;
}

static void read_memory(const Sandbox *s, SandboxStats *st) {
        static const struct {
                const char *file, *v1_file;
                size_t offset;
        } rows[] = {
                { "memory.current", "memory.usage_in_bytes",     offsetof(SandboxStats, memory_current) },
                { "memory.max",     "memory.limit_in_bytes",     offsetof(SandboxStats, memory_max)     },
                { "memory.peak",    "memory.max_usage_in_bytes", offsetof(SandboxStats, memory_peak)    },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t *value = (uint64_t *) ((char *) st + rows[i].offset);

                if (cgroup_read_u64(s->cgroup_fd, rows[i].file, value) >= 0)
                        continue;
                if (v1_read_u64(s, CGROUP_V1_MEMORY, rows[i].v1_file, value) >= 0)
                        st->source = "cgroup-v1";
                else if (i == 0)
                        st->source = "proc";
        }
}

static void read_pids(const Sandbox *s, SandboxStats *st) {
        if (cgroup_read_u64(s->cgroup_fd, "pids.current", &st->pids_current) >= 0)
                (void) cgroup_read_u64(s->cgroup_fd, "pids.max", &st->pids_max);
        else if (v1_read_u64(s, CGROUP_V1_PIDS, "pids.current", &st->pids_current) >= 0)
                (void) v1_read_u64(s, CGROUP_V1_PIDS, "pids.max", &st->pids_max);
        else
                st->source = "proc";
}

static void read_io(const Sandbox *s, SandboxStats *st) {
        _cleanup_free_ char *text = NULL;

        if (read_text_at(s->cgroup_fd, "io.stat", 64 * KiB, &text) >= 0)
                (void) cgroup_parse_io_stat(text, &st->io_read_bytes, &st->io_write_bytes);
}

/* "some avg10=1.25 avg60=..." */
static uint64_t read_pressure(const Sandbox *s, const char *file) {
        _cleanup_free_ char *text = NULL;
        unsigned whole, hundredths;

        if (read_text_at(s->cgroup_fd, file, 1 * KiB, &text) < 0 ||
            sscanf(text, "some avg10=%u.%2u", &whole, &hundredths) != 2)
                return UINT64_MAX;
        return (uint64_t) whole * 100 + hundredths;
}

static void add_processes(const Sandbox *s, SandboxStats *st) {
        _cleanup_(processes_done) Processes processes = {};
        bool memory = st->memory_current == 0, pids = st->pids_current == 0;

        if (processes_read(s->cgroup_fd, s->record.base, &processes) < 0)
                return;
        if (pids)
                st->pids_current = processes.n + 1; /* and init */
        for (size_t i = 0; memory && i < processes.n; i++)
                st->memory_current += processes.entries[i].rss_bytes;
}

int stats_read(const Sandbox *s, SandboxStats *ret) {
        SandboxStats st = { .source = "cgroup" };

        if (s->cgroup_fd < 0)
                return -ENODEV;
        read_cpu(s, &st);
        read_memory(s, &st);
        read_pids(s, &st);
        read_io(s, &st);
        st.cpu_pressure = read_pressure(s, "cpu.pressure");
        st.io_pressure = read_pressure(s, "io.pressure");
        st.memory_pressure = read_pressure(s, "memory.pressure");
        st.oom_kills = stats_oom_kills(s);
        if (strcmp(st.source, "proc") == 0) {
                add_processes(s, &st);
                st.memory_peak = MAX(st.memory_peak, st.memory_current);
        }
        /* The limits that systemd was given, where no controller tells them. */
        st.memory_max = st.memory_max ?: s->record.memory_max_bytes;
        st.pids_max = st.pids_max ?: s->record.pids_max;
        *ret = st;
        return 0;
}
