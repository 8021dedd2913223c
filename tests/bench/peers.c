/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/filter.h"

/* The others. How each is called stands in a file that run-inside.sh writes, because it depends on what the machine
 * lets them do; bubblewrap's filter comes from here. */

#define ARGUMENTS_MAX 64

/* posix_spawn() is vfork() and exec: nothing of us is copied. */
int spawn_usec(char *const *argv, double *ret_usec) {
        double begin = now_in_usec();
        int status, r;
        pid_t pid;

        r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
        if (r > 0)
                return -r;
        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        *ret_usec = now_in_usec() - begin;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPROTO;
}

static void run_and_add(Bench *b, Measure m, char *const *argv) {
        double usec;
        int r = spawn_usec(argv, &usec);

        if (r < 0)
                bench_failed(b, m, "%s: %s", argv[0], strerror(-r));
        else
                bench_add(b, m, usec);
}

void peer_run(Bench *b, Measure m, const char *name) {
        const json_t *peer = json_object_get(b->peers, name), *words = json_object_get(peer, "argv");
        const char *argv[ARGUMENTS_MAX] = {};

        if (!b->wanted[m] || b->failures[m])
                return;
        if (json_array_size(words) == 0 || json_array_size(words) >= ARGUMENTS_MAX) {
                const char *why = json_string_value(json_object_get(peer, "error"));

                bench_failed(b, m, "%s", why ?: "not set up");
                return;
        }
        for (size_t i = 0; i < json_array_size(words); i++)
                argv[i] = json_string_value(json_array_get(words, i));
        run_and_add(b, m, (char *const *) argv);
}

void bwrap_run(Bench *b, Measure m) {
        static int filter = -EBADF;
        char number[16];
        const char *argv[] = {
                "bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink",
                "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
                "--die-with-parent", "--seccomp", number, "/bin/true", NULL,
        };

        if (!b->wanted[m] || b->failures[m])
                return;
        if (filter < 0) {
                int fd = filter_open();

                /* bubblewrap reads it from a descriptor that it inherits. */
                filter = fd < 0 ? fd : dup(fd);
                if (fd >= 0)
                        close(fd);
        }
        if (filter < 0 || lseek(filter, 0, SEEK_SET) < 0) {
                bench_failed(b, m, "no filter");
                return;
        }
        snprintf(number, sizeof number, "%d", filter);
        run_and_add(b, m, (char *const *) argv);
}
