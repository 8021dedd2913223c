/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/manager-bus.h"

/* A socket stays in the namespace that it was made in, wherever its maker goes: so we enter the sandbox's network for
 * the one call that makes it, and do everything else outside. Nothing but a port comes from the client: the address is
 * always that namespace's own loopback, so whatever he says, no host service is reached.
 *
 * The namespace is opened by init's pid each time. Keeping a descriptor of it would save a few microseconds out of some
 * thirty, and cost one of each sandbox, also of those that nobody ever connects to. A pid that has become somebody
 * else's is no danger: only of processes below user namespaces that we own may we open it, and those are sandboxes'. */

static int open_network(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int make_socket(int family) {
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

        return fd < 0 ? -errno : fd;
}

/* All others are made in this process, too: one that cannot come back must not go on. */
static int make_socket_in(int network, int family) {
        _cleanup_close_ int home = open_network("/proc/self/ns/net");
        int fd;

        if (home < 0)
                return home;
        if (setns(network, CLONE_NEWNET) < 0)
                return -errno;
        fd = make_socket(family);
        if (setns(home, CLONE_NEWNET) < 0) {
                log_error_errno(errno, "Failed to leave the network of a sandbox, ending: %m");
                abort();
        }
        return fd;
}

/* Over loopback an answer is there as soon as connect() returns, but it is only looked at on the way out: a socket that
 * is not blocking says "in progress" all the same. None at all: the queue of the server is full, which may pass. */
static int connect_socket(int fd, const struct sockaddr *address, socklen_t size) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int error = 0;
        socklen_t n = sizeof error;

        if (connect(fd, address, size) >= 0)
                return 0;
        if (errno != EINPROGRESS)
                return -errno;
        if (poll(&p, 1, 0) <= 0)
                return 0;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                return -errno;
        return -error;
}

static int connect_in(int network, int family, uint16_t port) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port),
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        _cleanup_close_ int fd = make_socket_in(network, family);
        int r;

        if (fd < 0)
                return fd;
        r = family == AF_INET ? connect_socket(fd, (struct sockaddr *) &in, sizeof in)
                              : connect_socket(fd, (struct sockaddr *) &in6, sizeof in6);
        return r < 0 ? r : TAKE_FD(fd);
}

int connect_inside(const Sandbox *s, uint16_t port) {
        _cleanup_close_ int network = -EBADF;
        char path[64];
        int fd;

        if (s->pid <= 0)
                return -ESRCH;
        snprintf(path, sizeof path, "/proc/%i/ns/net", s->pid);
        network = open_network(path);
        if (network < 0)
                return network;
        fd = connect_in(network, AF_INET, port);
        if (fd != -ECONNREFUSED)
                return fd;
        /* Servers in JavaScript like to listen at [::1] only. Where there is no IPv6 the first answer stands. */
        fd = connect_in(network, AF_INET6, port);
        return fd < 0 ? -ECONNREFUSED : fd;
}

int method_connect(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = -EBADF;
        uint32_t port;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_RUNNING, &s, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(message, 'u', &port);
        if (r < 0)
                return r;
        if (port == 0 || port > UINT16_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a port: %u.", port);
        fd = connect_inside(s, (uint16_t) port);
        if (fd == -ECONNREFUSED)
                return bus_error_set(error, BUS_ERROR_UPSTREAM, "Nothing listens on port %u of the sandbox", port);
        if (fd < 0)
                return method_error(error, fd, "connect to the sandbox");
        return sd_bus_reply_method_return(message, "h", fd);
}
