/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/peer.h"

/* io.sandboxd.Net1 as functions. All of them may be done twice, and are, should the connection break. */

typedef struct NetdClient NetdClient;

int netd_client_new(sd_event *event, const char *path, NetdClient **ret);
NetdClient *netd_client_free(NetdClient *c);
DEFINE_CLEANUP(NetdClient *, netd_client_free)

/* Whether such a service is installed here. */
bool netd_is_there(const NetdClient *c);

/* opened is execd's answer to OpenNetwork(): its descriptors are passed on. The first answers with the address and the
 * address of a name server, or "". */
int netd_attach(NetdClient *c, const char *id, sd_bus_message *opened, PeerCallback callback, void *userdata);
int netd_join(NetdClient *c, const char *id, unsigned network, unsigned member, sd_bus_message *opened,
              PeerCallback callback, void *userdata);
int netd_leave(NetdClient *c, const char *id, unsigned network, PeerCallback callback, void *userdata);

/* A row of List(). */
typedef struct NetdWire {
        const char *digits;     /* the first ones of the id */
        bool member;
        unsigned network;
        const char *address;
} NetdWire;

int netd_list(NetdClient *c, PeerCallback callback, void *userdata);
/* > 0 while there is a row. The strings are borrowed from the message. */
int netd_read_wire(sd_bus_message *m, NetdWire *ret);
