/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* A daemon on the other side of a socket that systemd holds: it may leave, crash and come back at any time.
 *
 * Every call is answered exactly once. A call that was under way when the connection broke is sent again, once, if it
 * may be (PEER_REPEATABLE), else it fails with io.sandboxd.Error.Unavailable. An attached peer (somebody waits for its
 * signals) is connected to again, with growing pauses; another one is left alone after a while, so that it can exit. */

typedef struct Peer Peer;

typedef enum PeerFlags {
        PEER_REPEATABLE = 1 << 0,
        PEER_SLOW = 1 << 1,     /* no time limit: the size of the work is the client's */
} PeerFlags;

typedef struct PeerOptions {
        sd_event *event;
        const char *path, *object;
        /* Adds matches to a fresh connection. May be NULL. */
        int (*on_connect)(sd_bus *bus, void *userdata);
        /* (attached) The connection broke and is there again: ask for what was missed. Answer with peer_settled(). */
        void (*on_return)(Peer *p, void *userdata);
        void *userdata;
} PeerOptions;

/* reply NULL: error is set. */
typedef void (*PeerCallback)(sd_bus_message *reply, const sd_bus_error *error, void *userdata);

int peer_new(const PeerOptions *options, Peer **ret);
/* Calls under way fail now. */
Peer *peer_free(Peer *p);
DEFINE_CLEANUP(Peer *, peer_free)

/* -EHOSTDOWN when nobody listens. */
int peer_message(Peer *p, const char *interface, const char *member, sd_bus_message **ret);
/* The callback comes from the event loop, never from here; after a failure it does not come. */
int peer_send(Peer *p, sd_bus_message *m, PeerFlags flags, PeerCallback callback, void *userdata);
/* No answer wanted. It is sent when the replies to clients that are ready are out: who receives it may run at once, on
 * our processor. */
int peer_post(Peer *p, sd_bus_message *m);
/* An empty call that the bus library itself answers. */
int peer_ping(Peer *p, PeerCallback callback, void *userdata);

void peer_set_attached(Peer *p, bool attached);
/* What on_return() asked for was answered or failed. */
void peer_settled(Peer *p, bool success);
/* Of this moment, and to be compared only: what belongs to a connection ends with it. NULL: there is none. */
const sd_bus *peer_connection(const Peer *p);
/* (attached) on_return() is still to come, or its answer. */
bool peer_is_lost(const Peer *p);
