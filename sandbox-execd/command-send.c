/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/command-bus.h"
#include "sandbox-execd/manager.h"

/* One EXEC: the strings of argv and env, the descriptors in the order of the protocol. They stay the caller's; the kernel
 * holds what is under way. */

/* What fits into the packet goes there, else into a sealed memfd. */
#define STRINGS_INLINE_MAX (16 * KiB)
#define STRINGS_MAX (4 * MiB)

static size_t strings_size(char *const *v) {
        size_t n = 0;

        STRV_FOREACH(s, v)
                n += strlen(*s) + 1;
        return n;
}

static char *pack(char *p, char *const *v) {
        STRV_FOREACH(s, v)
                p = stpcpy(p, *s) + 1;
        return p;
}

int command_pack_strings(const CommandSpec *spec, char **ret, size_t *ret_size) {
        const char *cwd = spec->cwd ?: "";
        size_t size = strlen(cwd) + 1 + strings_size(spec->argv) + strings_size(spec->env);
        char *text;

        if (size > STRINGS_MAX || strv_length(spec->argv) + strv_length(spec->env) > INIT_STRINGS_MAX)
                return -E2BIG;
        text = malloc(size);
        if (!text)
                return -ENOMEM;
        pack(pack(stpcpy(text, cwd) + 1, spec->argv), spec->env);
        *ret = text;
        *ret_size = size;
        return 0;
}

static int put_into_memfd(const char *text, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create("strings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = loop_write(fd, text, size);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static void fill_exec(const Command *c, const CommandSpec *spec, size_t size, InitExec *exec) {
        *exec = (InitExec) {
                .header.operation = INIT_EXEC,
                .argc = (uint32_t) strv_length(spec->argv),
                .envc = (uint32_t) strv_length(spec->env),
                .uid = spec->uid,
                .gid = spec->gid,
                .n_keep = c->n_keep,
                .flags = spec->terminal_rows > 0 ? INIT_EXEC_PTY : 0,
                .rows = spec->terminal_rows,
                .columns = spec->terminal_columns,
                .deadline_usec = USEC_INFINITY,
                .length = (uint32_t) size,
        };
        snprintf(exec->command, sizeof exec->command, "%s", c->id);
        snprintf(exec->cgroup, sizeof exec->cgroup, "%s", c->cgroup);
        if (spec->timeout_usec != USEC_INFINITY)
                exec->deadline_usec = usec_add(now_usec(CLOCK_BOOTTIME), spec->timeout_usec);
}

int command_send(Command *c, const CommandSpec *spec, const int *fds, size_t n_fds, int cgroup_fd,
                 InitReplyHandler handler) {
        int passed[3 + 1 + 1 + INIT_KEEP_MAX];
        _cleanup_close_ int memfd = -EBADF;
        _cleanup_free_ char *strings = NULL, *message = NULL;
        size_t n = 0, size, message_size;
        InitExec *exec;
        int r;

        r = command_pack_strings(spec, &strings, &size);
        if (r < 0)
                return r;
        if (size > STRINGS_INLINE_MAX) {
                memfd = put_into_memfd(strings, size);
                if (memfd < 0)
                        return memfd;
                passed[n++] = memfd;
        }
        for (size_t i = 0; i < n_fds; i++) {
                if (i == 3)
                        passed[n++] = cgroup_fd;
                passed[n++] = fds[i];
        }
        if (n_fds == 3)
                passed[n++] = cgroup_fd;

        message_size = sizeof(InitExec) + (memfd < 0 ? size : 0);
        message = malloc(message_size);
        if (!message)
                return -ENOMEM;
        exec = (InitExec *) message;
        fill_exec(c, spec, size, exec);
        if (memfd >= 0)
                exec->flags |= INIT_EXEC_STRINGS_IN_FD;
        else
                memcpy(message + sizeof(InitExec), strings, size);
        return init_client_call(c->sandbox->init, message, message_size, passed, n, handler, c);
}

static bool cgroup_is_known(Sandbox *s, const char *name) {
        Command *c;

        HASHMAP_FOREACH(c, s->commands)
                if (streq(c->cgroup, name))
                        return true;
        return false;
}

void commands_clean_up(Sandbox *s) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *entry;

        if (directory_open_at(s->cgroup_fd, CGROUP_NAME_RUN, &d) < 0)
                return;
        while ((entry = readdir(d))) {
                const char *digits = startswith(entry->d_name, "exec-");
                uint32_t number;

                if (!digits || parse_u32(digits, &number) < 0)
                        continue;
                s->next_exec = MAX(s->next_exec, number);
                if (!cgroup_is_known(s, entry->d_name))
                        command_adopt_cgroup(s, entry->d_name);
        }
}
