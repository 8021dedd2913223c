/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/store.h"

/* Ports of sandboxes that clients have exposed: rows of the store, one a port and protocol. What listens is systemd's
 * (sandbox-execd makes it); the rows say what was asked for and under which port of the host it was answered. No HTTP
 * here. */

#define PORT_KIND "port"

typedef struct Port {
        char id[40];            /* "port_..." */
        uint16_t container_port, host_port;
        bool udp;
} Port;

const char *port_protocol(bool udp);
/* active: somebody listens. */
json_t *port_to_json(const Port *p, bool active);

/* sandbox is its public id. -ENOENT: it is not exposed. */
int port_find(Store *s, const char *sandbox, uint16_t container_port, bool udp, Port *ret);
int port_find_by_id(Store *s, const char *id, Port *ret);
/* Whether anybody ever exposed it, by tcp: whom the proxy may talk to. */
bool port_is_exposed(Store *s, const char *sandbox, uint16_t container_port);
int port_count(Store *s, const char *sandbox, uint64_t *ret);
int port_foreach(Store *s, const char *sandbox, int (*handler)(const Port *p, void *userdata), void *userdata);

/* Gives it its id. */
int port_add(Store *s, const char *sandbox, Port *p);
int port_remove(Store *s, const Port *p);
/* All of a sandbox that is gone. */
void port_forget_sandbox(Store *s, const char *sandbox);
