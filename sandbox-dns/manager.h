/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"
#include "libsandbox/settings.h"
#include "sandbox-dns/lists.h"
#include "sandbox-dns/upstreams.h"

/* The one owner of all state: the lists, and what is under way. */

#define QUESTIONS_MAX 1024U             /* at a time */
#define QUESTIONS_SANDBOX_MAX 64U
#define STREAMS_MAX 256U                /* connections */
#define STREAMS_SANDBOX_MAX 8U

typedef struct Manager {
        Service *service;
        Settings settings;
        BusServer *server;
        uid_t sandboxd_uid;
        NameLists lists;
        Upstreams upstreams;
        Prefix *allowed;        /* what may be reached though it is guarded */
        size_t n_allowed;
        struct Pins *pins;
        struct Stream *streams;
        unsigned n_streams, n_questions;
        sd_event_source *sources[8];
        size_t n_sources;
} Manager;

int manager_init(Manager *m, Service *service);
void manager_done(Manager *m);
/* on_reload of the service. */
int manager_reload(void *userdata);
void manager_set_idle(Manager *m);

/* Of server.c: UDP and TCP. */
int manager_serve_names(Manager *m, const int *fds, size_t n);
void manager_close_streams(Manager *m);

/* Of dns-bus.c. */
extern const sd_bus_vtable manager_vtable[];
int manager_serve_bus(Manager *m, int listen_fd);
