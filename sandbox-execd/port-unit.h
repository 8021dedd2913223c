/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/sandbox-id.h"

/* An exposed port is two transient units that systemd holds, sandbox-port-<24 digits>-<tcp|udp>-<port>: a socket, which
 * listens on the host, and a service, which is started by the first that comes and passes on to the sandbox's loopback
 * (relay.h). Both are bound to the sandbox's scope: they end with it, though nothing of ours runs. What is exposed is
 * asked of systemd; nothing is noted anywhere else. */

#define PORT_UNIT_MAX 80U

typedef struct PortUnit {
        SandboxId id;
        bool udp;
        uint16_t container_port, host_port;
        char address[48];       /* that is listened on: IPv4 or IPv6, without brackets */
        pid_t init;
        uint64_t netns_cookie;  /* of init's network namespace */
} PortUnit;

void port_unit_name(const PortUnit *p, const char *suffix, char ret[PORT_UNIT_MAX]);
/* Fits the sockets of all ports of a sandbox. */
void port_unit_pattern(const char *id, char ret[PORT_UNIT_MAX]);

/* For StartTransientUnit(): the properties of the socket, and the array with the service that is made along with it. */
int port_unit_append_socket(sd_bus_message *m, const PortUnit *p);
int port_unit_append_service(sd_bus_message *m, const PortUnit *p);

/* The address and the two ports of a socket stand in its description: what it was made with is read from there. -EINVAL:
 * not one of ours. */
int port_unit_parse(const char *name, const char *description, PortUnit *ret);
