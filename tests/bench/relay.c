/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

/* The least that any server of output must do: read what a program writes from a pipe, and write it to a socket that
 * somebody reads. The program is the one that runs in the sandbox. */

#define CHUNK (64 * 1024)

static _noreturn_ void writer(int fd, uint64_t bytes) {
        char size[32];

        snprintf(size, sizeof size, "%llu", (unsigned long long) bytes);
        (void) dup2(fd, STDOUT_FILENO);
        execlp("sh", "sh", "-c", "yes 0123456789012345678901234567890123456789012345678901234567890123 | head -c $0",
               size, NULL);
        _exit(127);
}

static _noreturn_ void relay(int from, int to) {
        static char buffer[CHUNK];
        ssize_t n;

        while ((n = read(from, buffer, sizeof buffer)) > 0)
                for (ssize_t k, done = 0; done < n; done += k) {
                        k = send(to, buffer + done, (size_t) (n - done), MSG_NOSIGNAL);
                        if (k <= 0)
                                _exit(1);
                }
        _exit(n < 0);
}

static uint64_t count(int fd) {
        static char buffer[4 * CHUNK];
        uint64_t total = 0;
        ssize_t n;

        while ((n = read(fd, buffer, sizeof buffer)) > 0)
                total += (uint64_t) n;
        return total;
}

int relay_run(uint64_t bytes, double *ret_usec) {
        int pipes[2], sockets[2];
        double begin = now_in_usec();
        uint64_t got;
        pid_t pids[2];

        if (pipe(pipes) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0)
                return -errno;
        pids[0] = fork();
        if (pids[0] == 0) {
                close(pipes[0]);
                close(sockets[0]);
                close(sockets[1]);
                writer(pipes[1], bytes);
        }
        close(pipes[1]);
        pids[1] = fork();
        if (pids[1] == 0) {
                close(sockets[0]);
                relay(pipes[0], sockets[1]);
        }
        close(pipes[0]);
        close(sockets[1]);
        got = count(sockets[0]);
        *ret_usec = now_in_usec() - begin;
        close(sockets[0]);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                if (pids[i] > 0)
                        (void) waitpid(pids[i], NULL, 0);
        return got == bytes ? 0 : -EPROTO;
}
