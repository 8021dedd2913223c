/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* Asynchronous requests to the system manager: over its private socket as systemctl does for root, else over the system
 * bus. After a loss of the connection (daemon-reexec) it is made again, with growing pauses, and what was asked but not
 * answered is asked again: what became of a unit being started, else the request itself. */
typedef struct SystemdClient SystemdClient;
typedef struct SystemdRequest SystemdRequest;

typedef enum SystemdAction {
        SYSTEMD_START_TRANSIENT, /* done when the unit's job is */
        SYSTEMD_SET_PROPERTIES,
        SYSTEMD_STOP,            /* done when the request is accepted; a unit that is gone is fine */
        SYSTEMD_STOP_WAIT,       /* done when the unit's job is; a unit that is gone is fine */
        SYSTEMD_LIST,            /* the units that the pattern in .unit fits; on_reply() gets them before on_done() */
} SystemdAction;

typedef struct SystemdRequestOptions {
        SystemdAction action;
        const char *unit;
        /* Appends the (sv) pairs; may be called again after a reconnect. Of no use to stop and list. */
        int (*append_properties)(sd_bus_message *m, void *userdata);
        /* (START_TRANSIENT) Appends the array of units that are made along, "a(sa(sv))". NULL: none. */
        int (*append_auxiliary)(sd_bus_message *m, void *userdata);
        /* (LIST) What ListUnitsByPatterns() answers. */
        void (*on_reply)(sd_bus_message *m, void *userdata);
        /* error 0 or a negative errno, with the message of systemd in details. Not called after _free(). */
        void (*on_done)(int error, const char *details, void *userdata);
        void *userdata;
} SystemdRequestOptions;

int systemd_client_new(sd_event *event, SystemdClient **ret);
SystemdClient *systemd_client_free(SystemdClient *c);
DEFINE_CLEANUP(SystemdClient *, systemd_client_free)

/* At the end of the daemon: waits a moment until what was asked for is answered. systemd looks up who asks, and refuses
 * one that is gone. */
void systemd_client_drain(SystemdClient *c);

/* The request belongs to the caller until it is done: _free() forgets it, systemd may do it all the same. ret may be
 * NULL when nobody will cancel it. */
int systemd_client_request(SystemdClient *c, const SystemdRequestOptions *options, SystemdRequest **ret);
SystemdRequest *systemd_request_free(SystemdRequest *q);

/* Pause before the n-th attempt to connect again. */
uint64_t systemd_backoff_usec(unsigned attempt);
