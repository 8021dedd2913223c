/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/relay.h"

#define IDLE_USEC (10 * USEC_PER_SEC)

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Relay *r = userdata;

        (void) source;
        (void) usec;
        return sd_event_exit(r->event, 0);
}

static void arm_idle(Relay *r) {
        (void) sd_event_source_set_time_relative(r->idle_timer, r->idle_usec);
        (void) sd_event_source_set_enabled(r->idle_timer, SD_EVENT_ONESHOT);
}

void relay_hold(Relay *r) {
        if (r->n_sessions++ == 0)
                (void) sd_event_source_set_enabled(r->idle_timer, SD_EVENT_OFF);
}

void relay_release(Relay *r) {
        assert(r->n_sessions > 0);
        if (--r->n_sessions == 0)
                arm_idle(r);
}

socklen_t relay_address(const Relay *r, bool v6, struct sockaddr_storage *ret) {
        struct sockaddr_in *four = (struct sockaddr_in *) ret;
        struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret;

        *ret = (struct sockaddr_storage) {};
        if (v6) {
                *six = (struct sockaddr_in6) { .sin6_family = AF_INET6, .sin6_port = htons(r->port),
                                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };
                return sizeof *six;
        }
        *four = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons(r->port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        return sizeof *four;
}

/* systemd found our namespace by the number of a process: whether it was that process still, the cookie tells. */
static int check_namespace(uint64_t expected) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        uint64_t cookie;
        socklen_t size = sizeof cookie;

        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
                return log_error_errno(errno, "Failed to look at the network namespace: %m");
        if (cookie != expected)
                return log_error_errno(-ENXIO, "This is not the sandbox's network namespace, leaving.");
        return 0;
}

static int run(bool udp, uint16_t port) {
        Relay relay = { .listen_fd = SD_LISTEN_FDS_START, .port = port, .idle_usec = IDLE_USEC };
        int r;

        r = sd_listen_fds(/* unset_environment= */ true);
        if (r != 1)
                return log_error_errno(r < 0 ? r : -EINVAL, "Not started by a socket unit with one socket.");
        r = fd_set_nonblock(relay.listen_fd, true);
        if (r >= 0)
                r = sd_event_default(&relay.event);
        if (r >= 0)
                r = sd_event_add_time_relative(relay.event, &relay.idle_timer, CLOCK_MONOTONIC, relay.idle_usec, 0,
                                               on_idle, &relay);
        if (r >= 0)
                r = udp ? relay_udp_start(&relay) : relay_tcp_start(&relay);
        if (r >= 0)
                r = sd_event_loop(relay.event);
        if (r < 0)
                return log_error_errno(r, "Failed: %m");
        return r;
}

static int help(FILE *where) {
        fputs("sandbox-relay PROTOCOL PORT COOKIE\n\n"
              "Relays an exposed port to a sandbox's loopback. Started by systemd.\n\n"
              "  PROTOCOL  tcp or udp\n"
              "  PORT      inside the sandbox\n"
              "  COOKIE    of its network namespace\n", where);
        return where == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv) {
        uint64_t cookie;
        uint32_t port;
        bool udp;

        log_set_program("sandbox-relay");
        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h")))
                return help(stdout);
        if (argc != 4)
                return help(stderr);
        udp = streq(argv[1], "udp");
        if ((!udp && !streq(argv[1], "tcp")) || parse_u32(argv[2], &port) < 0 || port == 0 || port > UINT16_MAX ||
            parse_u64(argv[3], &cookie) < 0)
                return help(stderr);
        if (check_namespace(cookie) < 0)
                return EXIT_FAILURE;
        return run(udp, (uint16_t) port) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
