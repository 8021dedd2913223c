/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <netinet/in.h>
#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* sandbox-relay: what is behind an exposed port. systemd listens and starts this for the first that comes, as nobody in
 * particular, inside the sandbox's network namespace, of which it sees no more than the loopback; the listener is its
 * only way out. It leaves when nobody has been connected for a while, and systemd listens on.
 *
 * A sandbox cannot speak to it but through connections that somebody opened from outside, and it never looks at what
 * passes. */

typedef struct Relay {
        sd_event *event;
        int listen_fd;
        uint16_t port;          /* inside */
        unsigned n_sessions;
        uint64_t idle_usec;
        sd_event_source *listen_source, *idle_timer;
} Relay;

/* Sessions keep the relay alive. */
void relay_hold(Relay *r);
void relay_release(Relay *r);

/* The port on the sandbox's loopback, of IPv4 or of IPv6. */
socklen_t relay_address(const Relay *r, bool v6, struct sockaddr_storage *ret);

int relay_tcp_start(Relay *r);
int relay_udp_start(Relay *r);
