/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"
#include "libsandbox/settings.h"
#include "sandbox-netd/firewall.h"
#include "sandbox-netd/link.h"

/* The one owner of all state, and there is hardly any: what is connected to what, the kernel knows. */
typedef struct Manager {
        Service *service;
        Settings settings;
        BusServer *server, *pins_server;
        uid_t sandboxd_uid, dns_uid;
        struct nl_sock *host;
        Firewall *firewall;
        FirewallSpec spec;      /* as the settings have it */
        Prefix *allowed;
        bool range_checked;
        EgressLists lists;
        sd_event_source *log_timer;
} Manager;

int manager_init(Manager *m, Service *service);
void manager_done(Manager *m);
/* on_reload of the service. */
int manager_reload(void *userdata);
void manager_set_idle(Manager *m);

/* Rules, ranges, forwarding: what every connection needs. error says what the host lacks. */
int manager_prepare(Manager *m, bool egress, sd_bus_error *error);

/* What the two methods that connect are given. */
typedef struct Wiring {
        const char *id;
        int namespace_fd, netlink_fd;
} Wiring;

/* Idempotent: who is connected stays so, and the address is the same. */
int manager_attach(Manager *m, const Wiring *w, uint32_t *ret, sd_bus_error *error);
int manager_join(Manager *m, const Wiring *w, unsigned network, unsigned member, uint32_t *ret, sd_bus_error *error);

/* Of net-bus.c. */
extern const sd_bus_vtable manager_vtable[];
int manager_serve(Manager *m, int listen_fd);
/* Of pins-bus.c: the socket of sandbox-dns. */
extern const sd_bus_vtable pins_vtable[];
int manager_serve_pins(Manager *m, int listen_fd);
