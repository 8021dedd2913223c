/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/id-range.h"

/* The list comes from the cgroups, never from a walk over /proc: that is complete, and none of the host's processes can
 * get into it. Init itself is left out, clients can do nothing with it. */

#define COMMAND_LINE_MAX 4096U
#define PROCESSES_MAX 8192U

void processes_done(Processes *p) {
        for (size_t i = 0; i < p->n; i++)
                free(p->entries[i].command_line);
        free(p->entries);
        *p = (Processes) {};
}

/* The text behind "Key:" and white space, up to the end of its line. */
static int status_field(const char *text, const char *key, char *ret, size_t size) {
        size_t n = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, key, n) == 0 && line[n] == ':') {
                        const char *value = line + n + 1;
                        size_t k;

                        value += strspn(value, " \t");
                        k = strcspn(value, "\n");
                        if (k >= size)
                                return -EBADMSG;
                        memcpy(ret, value, k);
                        ret[k] = 0;
                        return 0;
                }
        return -EBADMSG;
}

int process_parse_inner_pid(const char *text, uint32_t *ret) {
        char pids[256];
        const char *last;

        if (status_field(text, "NSpid", pids, sizeof pids) < 0)
                return -EBADMSG;
        last = strrchr(pids, '\t');
        return parse_u32(last ? last + 1 : pids, ret) < 0 ? -EBADMSG : 0;
}

/* Names stand first in the file and the kernel escapes line ends in them, so the first line of a key is the real one. */
int process_parse_status(const char *text, uint32_t base, Process *p) {
        char ids[128];
        uint32_t uid;

        if (process_parse_inner_pid(text, &p->pid) < 0 || status_field(text, "Uid", ids, sizeof ids) < 0)
                return -EBADMSG;
        ids[strcspn(ids, "\t")] = 0;
        if (parse_u32(ids, &uid) < 0)
                return -EBADMSG;
        p->uid = uid >= base && uid - base < ID_RANGE_SIZE ? uid - base : 65534;
        return 0;
}

int process_parse_stat(const char *text, uint64_t ticks_per_second, Process *p) {
        unsigned long long user, system, vsz;
        const char *rest = strrchr(text, ')'); /* the name before it may contain anything */
        long rss;

        if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %llu %ld",
                            &p->state, &user, &system, &vsz, &rss) != 5)
                return -EBADMSG;
        p->cpu_usec = (user + system) * (USEC_PER_SEC / ticks_per_second);
        p->vsz_bytes = vsz;
        p->rss_bytes = (uint64_t) MAX(rss, 0L) * (uint64_t) sysconf(_SC_PAGESIZE);
        return 0;
}

char *process_format_command_line(const char *text, size_t size, const char *status) {
        char joined[COMMAND_LINE_MAX], name[128];

        size = MIN(size, sizeof joined);
        while (size > 0 && text[size - 1] == 0)
                size--;
        if (size == 0) {
                int n;

                if (status_field(status, "Name", name, sizeof name) < 0)
                        name[0] = 0;
                n = snprintf(joined, sizeof joined, "[%s]", name);
                return utf8_sanitize(joined, (size_t) n);
        }
        for (size_t i = 0; i < size; i++)
                joined[i] = text[i] == 0 ? ' ' : text[i];
        return utf8_sanitize(joined, size);
}

static int read_bytes(const char *path, char *buffer, size_t size) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : (int) loop_read(fd, buffer, size);
}

static int read_status(pid_t pid, char **ret) {
        char path[64];

        snprintf(path, sizeof path, "/proc/%i/status", pid);
        return read_text_at(AT_FDCWD, path, 64 * KiB, ret);
}

int process_inner_pid(pid_t pid, uint32_t *ret) {
        _cleanup_free_ char *status = NULL;
        int r = read_status(pid, &status);

        return r < 0 ? r : process_parse_inner_pid(status, ret);
}

static int process_read(pid_t pid, uint32_t base, Process *ret) {
        _cleanup_free_ char *status = NULL, *stat = NULL;
        char path[64], line[COMMAND_LINE_MAX];
        Process p = {};
        int r, n;

        r = read_status(pid, &status);
        if (r >= 0)
                r = process_parse_status(status, base, &p);
        if (r < 0)
                return r;
        snprintf(path, sizeof path, "/proc/%i/stat", pid);
        r = read_text_at(AT_FDCWD, path, 4 * KiB, &stat);
        if (r >= 0)
                r = process_parse_stat(stat, (uint64_t) sysconf(_SC_CLK_TCK), &p);
        if (r < 0)
                return r;
        snprintf(path, sizeof path, "/proc/%i/cmdline", pid);
        n = read_bytes(path, line, sizeof line);
        p.command_line = process_format_command_line(line, (size_t) MAX(n, 0), status);
        if (!p.command_line)
                return -ENOMEM;
        *ret = p;
        return 0;
}

static int add_directory(int run_fd, const char *name, uint32_t base, Processes *p) {
        _cleanup_free_ pid_t *pids = NULL;
        char file[NAME_MAX + 16];
        size_t n;

        snprintf(file, sizeof file, "%s/cgroup.procs", name);
        if (cgroup_read_pids(run_fd, file, &pids, &n) < 0)
                return 0; /* removed meanwhile */
        for (size_t i = 0; i < n && p->n < PROCESSES_MAX; i++) {
                Process *larger = reallocarray(p->entries, p->n + 1, sizeof(Process));

                if (!larger)
                        return -ENOMEM;
                p->entries = larger;
                if (process_read(pids[i], base, p->entries + p->n) >= 0) /* else it has just ended */
                        p->n++;
        }
        return 0;
}

int processes_read(int cgroup_fd, uint32_t base, Processes *ret) {
        _cleanup_(processes_done) Processes p = {};
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *entry;
        int r;

        r = directory_open_at(cgroup_fd, CGROUP_NAME_RUN, &d);
        if (r < 0)
                return r;
        while (r >= 0 && (entry = readdir(d)))
                if (startswith(entry->d_name, "exec-"))
                        r = add_directory(dirfd(d), entry->d_name, base, &p);
        if (r < 0)
                return r;
        *ret = p;
        p = (Processes) {};
        return 0;
}
