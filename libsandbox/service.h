/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* What every daemon does the same way: sockets by name from systemd, READY=1, watchdog from the loop, SIGTERM, SIGHUP
 * (reload) and the exit when idle.
 *
 * Idle is a count: whoever needs the daemon (a connection, a stream, a live command, a queued job) holds it with
 * service_hold() and lets go with service_release(). At zero a timer runs; when it ends and no connection waits in a
 * listening socket's queue, the loop ends. A connection that arrives later starts the daemon anew. */

typedef struct Service Service;

typedef struct ServiceOptions {
        const char *program;
        uint64_t idle_usec; /* USEC_INFINITY: stay */
        int (*on_reload)(void *userdata);
        /* Just before exit on idle: drain pools and the like. May be NULL. Returning > 0 postpones the exit. */
        int (*on_idle)(void *userdata);
        void *userdata;
} ServiceOptions;

int service_new(const ServiceOptions *options, Service **ret);
Service *service_free(Service *s);
DEFINE_CLEANUP(Service *, service_free)

sd_event *service_event(Service *s);
void service_set_userdata(Service *s, void *userdata);
void service_set_idle_usec(Service *s, uint64_t usec);
/* As settings say it: 0 is to stay. */
void service_set_idle_sec(Service *s, uint32_t sec);

/* The inherited listening sockets with this FileDescriptorName=, in order; the service keeps them.
 * -ENOENT with a message when there is none: our daemons are started by their socket units only. */
int service_get_sockets(Service *s, const char *name, const int **ret_fds, size_t *ret_n);

void service_hold(Service *s);
void service_release(Service *s);
/* What on_idle postponed the exit for is done: if nobody holds the daemon, the timer need not run once more. */
void service_check_idle(Service *s);

/* READY=1, the loop, STOPPING=1. The loop's exit code. */
int service_run(Service *s);
