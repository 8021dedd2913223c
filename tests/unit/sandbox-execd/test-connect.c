/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-execd/connect.h"
#include "tests/test.h"

/* A process with a network of its own, which listens at one loopback address and greets who comes. */
typedef struct Server {
        Sandbox sandbox;
        uint16_t port;
} Server;

static void serve(int family, int report) {
        struct sockaddr_in6 address = { .sin6_family = (sa_family_t) family, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        socklen_t size = sizeof address;
        int fd;

        if (family == AF_INET)
                ((struct sockaddr_in *) &address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -1 : socket(family, SOCK_STREAM, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0 || bind(fd, (struct sockaddr *) &address, size) < 0 ||
            listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                _exit(1);
        if (write(report, &address.sin6_port, sizeof address.sin6_port) < 0)
                _exit(1);
        for (;;) {
                int peer = accept(fd, NULL, NULL);

                if (peer < 0 || write(peer, "hello", 5) != 5)
                        _exit(1);
                close(peer);
        }
}

static void start(Server *s, int family) {
        int report[2];
        in_port_t port;

        ASSERT_EQ(pipe(report), 0);
        *s = (Server) { .sandbox.pid = fork() };
        if (s->sandbox.pid == 0)
                serve(family, report[1]);
        close(report[1]);
        if (read(report[0], &port, sizeof port) != sizeof port) {
                (void) waitpid(s->sandbox.pid, NULL, 0);
                test_skip("no network namespaces, or no such family in them");
        }
        close(report[0]);
        s->port = ntohs(port);
}

static void stop(Server *s) {
        ASSERT_EQ(kill(s->sandbox.pid, SIGKILL), 0);
        ASSERT_EQ(waitpid(s->sandbox.pid, NULL, 0), s->sandbox.pid);
}

static ino_t own_network(void) {
        struct stat st;

        ASSERT_EQ(stat("/proc/self/ns/net", &st), 0);
        return st.st_ino;
}

static void expect_greeting(Server *s) {
        ino_t before = own_network();
        char text[8] = "";
        int fd;

        fd = ASSERT_OK(connect_inside(&s->sandbox, s->port));
        ASSERT_EQ(own_network(), before);
        ASSERT_OK(fd_set_nonblock(fd, false));
        ASSERT_EQ(loop_read(fd, text, sizeof text), 5);
        ASSERT_STREQ(text, "hello");
        safe_close(fd);
}

TEST(v4) {
        Server s;

        start(&s, AF_INET);
        expect_greeting(&s);
        ASSERT_EQ(connect_inside(&s.sandbox, (uint16_t) (s.port ^ 1)), -ECONNREFUSED);
        stop(&s);
}

TEST(v6_where_v4_refuses) {
        Server s;

        start(&s, AF_INET6);
        expect_greeting(&s);
        stop(&s);
}

TEST(without_a_process) {
        Sandbox s = {};

        ASSERT_EQ(connect_inside(&s, 80), -ESRCH);
}
