/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/service.h"

/* Passes Files1 calls on to the file workers of their sandboxes, unread but for the id in front, and their answers
 * back. A worker does one call at a time, so a sandbox whose workers are all busy gets another, up to
 * ROUTER_WORKERS_MAX; then calls wait. The service is held while calls are on their way, not by idle workers. */
typedef struct Router Router;

#define ROUTER_WORKERS_MAX 4U
#define ROUTER_CALLS_MAX 256U /* waiting for one sandbox */

/* Gets a connected socket of a fresh worker from somewhere and then calls router_add_worker() or router_start_failed()
 * with the same id, before or after it returns. */
typedef int (*RouterStart)(Router *router, const char *id, void *userdata);

typedef struct RouterOptions {
        Service *service;
        uint64_t idle_usec; /* after which a worker is let go */
        RouterStart start;
        /* Nobody has a worker any more. May be NULL. */
        void (*on_empty)(Router *router, void *userdata);
        void *userdata;
} RouterOptions;

int router_new(const RouterOptions *options, Router **ret);
Router *router_free(Router *r);
DEFINE_CLEANUP(Router *, router_free)

/* Serves Files1 on a client's connection. */
int router_attach(Router *r, sd_bus *bus);
/* Takes the descriptor over. */
void router_add_worker(Router *r, const char *id, int fd);
void router_start_failed(Router *r, const char *id, const sd_bus_error *error);
/* So that nobody has the sandbox's files open: ends the workers that do nothing. The number of those that do. */
unsigned router_end_idle(Router *r, const char *id);
