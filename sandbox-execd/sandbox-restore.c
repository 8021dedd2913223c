/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/command.h"
#include "sandbox-execd/copy.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/process.h"
#include "sandbox-execd/sandbox-steps.h"
#include "sandbox-execd/stats.h"

/* The connection to init of a sandbox: the first one, and the one of a daemon that took over. */

static void restored(Sandbox *s) {
        s->state = SANDBOX_LIVE;
        sandbox_settled(s);
        commands_clean_up(s);
        manager_restored(s->manager);
}

static void on_hello(const InitHello *hello, void *userdata) {
        Sandbox *s = userdata;

        if (hello->version == 0 || hello->version > INIT_PROTOCOL_VERSION) {
                sandbox_fail(s, -EPROTONOSUPPORT, "hello");
                return;
        }
        if (s->state == SANDBOX_MAKING) {
                sandbox_step_done(s, hello->phase == INIT_PHASE_FRESH ? 0 : -EPROTO);
                return;
        }
        if (s->state != SANDBOX_RESTORING)
                return;
        if (hello->phase != INIT_PHASE_LIVE) {
                sandbox_end(s, END_FAILED);
                return;
        }
        s->commands_announced = hello->n_commands;
        if (hello->n_commands == 0)
                restored(s);
}

static void on_command(const InitCommand *command, void *userdata) {
        Sandbox *s = userdata;

        command_on_message(s, command);
        if (s->state == SANDBOX_RESTORING && s->commands_announced > 0 && --s->commands_announced == 0)
                restored(s);
}

static void on_lost(int error, void *userdata) {
        Sandbox *s = userdata;

        s->init = init_client_free(s->init);
        if (s->state == SANDBOX_ENDING)
                return;
        if (s->state == SANDBOX_MAKING) {
                sandbox_fail(s, error, "connection to init");
                return;
        }
        sandbox_end(s, sandbox_death_reason(s));
}

EndReason sandbox_death_reason(const Sandbox *s) {
        uint64_t kills;

        if (s->state != SANDBOX_LIVE && s->state != SANDBOX_RESTORING)
                return END_FAILED;
        if (s->record.deadline_usec <= now_usec(CLOCK_BOOTTIME))
                return END_EXPIRED;
        if (s->cgroup_fd >= 0 &&
            cgroup_read_key(s->cgroup_fd, CGROUP_NAME_INIT "/memory.events", "oom_kill", &kills) >= 0 && kills > 0)
                return END_OOM;
        return END_INIT_DIED;
}

int sandbox_connect(Sandbox *s) {
        InitClientOptions options = {
                .event = service_event(s->manager->service),
                .path = s->socket_path,
                .on_hello = on_hello,
                .on_command = on_command,
                .on_lost = on_lost,
                .userdata = s,
        };

        return init_client_new(&options, &s->init);
}

/* Init's pid on the host. A helper of the daemon before us may still be at work beside it (vault.h). */
static int find_pid(Sandbox *s) {
        _cleanup_free_ pid_t *pids = NULL;
        uint32_t inner;
        size_t n;
        int r;

        r = cgroup_read_pids(s->cgroup_fd, CGROUP_NAME_INIT "/cgroup.procs", &pids, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (process_inner_pid(pids[i], &inner) >= 0 && inner == 1) {
                        s->pid = pids[i];
                        return 0;
                }
        return -ESRCH;
}

static int check_range(const Sandbox *s) {
        _cleanup_free_ char *map = NULL;
        unsigned inside, outside, size;
        char path[64];
        int r;

        snprintf(path, sizeof path, "/proc/%i/uid_map", s->pid);
        r = read_text_at(AT_FDCWD, path, 4 * KiB, &map);
        if (r < 0)
                return r;
        if (sscanf(map, "%u %u %u", &inside, &outside, &size) != 3 || inside != 0 || outside != s->record.base)
                return -EUCLEAN;
        return 0;
}

int sandbox_restore(Sandbox *s) {
        uint64_t frozen = 0;
        int r;

        s->step = s->target = n_sandbox_steps;
        s->state = SANDBOX_RESTORING;
        (void) sd_event_source_set_enabled(s->timeout_source, SD_EVENT_OFF);

        r = s->cgroup_fd = cgroup_open(s->manager->cgroups.root_fd, s->cgroup_path);
        if (r >= 0)
                r = find_pid(s);
        if (r >= 0)
                r = check_range(s);
        if (r >= 0)
                r = sandbox_connect(s);
        if (r < 0)
                return r;
        copy_undo(s);
        (void) cgroup_read_u64(s->cgroup_fd, CGROUP_NAME_RUN "/cgroup.freeze", &frozen);
        s->paused = frozen == 1;
        s->oom_kills_seen = stats_oom_kills(s);
        return 0;
}
