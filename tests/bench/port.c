/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

/* An exposed port against the least that stands between two programs on one host: a process that reads from one
 * connection and writes to the other. The server is the same program, inside a sandbox and beside the plain relay; a
 * client says how many bytes he wants. */

#define CHUNK (64 * 1024)
#define INSIDE 7000
#define TRIES 200

#define SERVER                                                                                     \
        "import socket\\n"                                                                         \
        "s = socket.create_server(('127.0.0.1', %d))\\n"                                           \
        "print(s.getsockname()[1], flush=True)\\n"                                                 \
        "b = memoryview(bytes(1 << 18))\\n"                                                        \
        "while True:\\n"                                                                           \
        " c = s.accept()[0]\\n"                                                                    \
        " n = int(c.makefile().readline())\\n"                                                     \
        " while n > 0: n -= c.send(b[:n])\\n"                                                      \
        " c.close()"

static int connect_loopback(uint16_t port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof address) < 0) {
                close(fd);
                return -ECONNREFUSED;
        }
        return fd;
}

/* From the connection to the last byte. */
static int fetch(uint16_t port, uint64_t bytes, double *ret_usec) {
        static char buffer[4 * CHUNK];
        double begin = now_in_usec();
        int fd = connect_loopback(port);
        uint64_t got = 0;
        ssize_t n;

        if (fd < 0)
                return fd;
        n = snprintf(buffer, sizeof buffer, "%llu\n", (unsigned long long) bytes);
        if (send(fd, buffer, (size_t) n, MSG_NOSIGNAL) == n)
                while ((n = read(fd, buffer, sizeof buffer)) > 0)
                        got += (uint64_t) n;
        close(fd);
        if (ret_usec)
                *ret_usec = now_in_usec() - begin;
        return got == bytes ? 0 : -EPROTO;
}

static int wait_for_server(uint16_t port) {
        for (unsigned i = 0; i < TRIES; i++) {
                if (fetch(port, 1, NULL) == 0)
                        return 0;
                usleep(50 * 1000);
        }
        return -ETIMEDOUT;
}

static _noreturn_ void serve(int out) {
        char escaped[512], program[512], *to = program;

        snprintf(escaped, sizeof escaped, SERVER, 0);
        for (const char *from = escaped; *from; from++)
                *to++ = strncmp(from, "\\n", 2) == 0 ? (from++, '\n') : *from;
        *to = 0;
        (void) dup2(out, STDOUT_FILENO);
        execlp("python3", "python3", "-c", program, NULL);
        _exit(127);
}

static void copy(int from, int to) {
        static char buffer[CHUNK];
        ssize_t n;

        while ((n = read(from, buffer, sizeof buffer)) > 0)
                for (ssize_t k, done = 0; done < n; done += k) {
                        k = send(to, buffer + done, (size_t) (n - done), MSG_NOSIGNAL);
                        if (k <= 0)
                                return;
                }
}

/* The one line that the client says, then everything that the server does. */
static _noreturn_ void relay(int listener, uint16_t port) {
        for (;;) {
                int client = accept(listener, NULL, NULL), server = connect_loopback(port);
                char line[32];
                ssize_t n = read(client, line, sizeof line);

                if (n > 0 && send(server, line, (size_t) n, MSG_NOSIGNAL) == n)
                        copy(server, client);
                close(client);
                close(server);
        }
}

static int listen_loopback(uint16_t *ret_port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *) &address, size) < 0 || listen(fd, 4) < 0 ||
            getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return -errno;
        *ret_port = ntohs(address.sin_port);
        return fd;
}

int plain_relay_start(PlainRelay *ret) {
        int fds[2], listener;
        char line[16] = {};

        if (pipe(fds) < 0)
                return -errno;
        ret->pids[0] = fork();
        if (ret->pids[0] == 0)
                serve(fds[1]);
        close(fds[1]);
        if (read(fds[0], line, sizeof line - 1) <= 0)
                return -EIO;
        close(fds[0]);
        listener = listen_loopback(&ret->port);
        if (listener < 0)
                return listener;
        ret->pids[1] = fork();
        if (ret->pids[1] == 0)
                relay(listener, (uint16_t) atoi(line));
        close(listener);
        return wait_for_server(ret->port);
}

void plain_relay_stop(PlainRelay *r) {
        for (size_t i = 0; i < ELEMENTSOF(r->pids); i++)
                if (r->pids[i] > 0) {
                        (void) kill(r->pids[i], SIGKILL);
                        (void) waitpid(r->pids[i], NULL, 0);
                }
}

int port_expose(Http *h, const Sandbox *s, uint16_t *ret_port) {
        char path[96], program[512], body[600];
        const char *port;
        int r;

        snprintf(path, sizeof path, "/sandboxes/%s/exec/background", s->id);
        snprintf(program, sizeof program, SERVER, INSIDE);
        snprintf(body, sizeof body, "{\"command\":[\"python3\",\"-c\",\"%s\"]}", program);
        r = http_call(h, "POST", path, body, NULL);
        if (r != 200)
                return r < 0 ? r : -EPROTO;
        snprintf(path, sizeof path, "/sandboxes/%s/ports", s->id);
        snprintf(body, sizeof body, "{\"containerPort\":%d}", INSIDE);
        r = http_call(h, "POST", path, body, NULL);
        port = r == 200 ? strstr(h->body, "\"hostPort\":") : NULL;
        if (!port)
                return r < 0 ? r : -EPROTO;
        *ret_port = (uint16_t) atoi(port + strlen("\"hostPort\":"));
        return wait_for_server(*ret_port);
}

int port_fetch(uint16_t port, uint64_t bytes, double *ret_usec) {
        return fetch(port, bytes, ret_usec);
}
