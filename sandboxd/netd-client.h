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

/* The list of a sandbox: who begins it appends prefixes, "(uuq)": address, bits, port or 0. Answers with the sandbox's
 * address and, if it has no resolv.conf of ours yet, the address of its name server. */
int netd_restrict_begin(NetdClient *c, const char *id, sd_bus_message **ret);
int netd_restrict(NetdClient *c, sd_bus_message *m, const uint32_t *marks, size_t n_marks, PeerCallback callback,
                  void *userdata);
int netd_release(NetdClient *c, const char *id, PeerCallback callback, void *userdata);
int netd_decisions(NetdClient *c, const char *id, PeerCallback callback, void *userdata);

/* What was refused by the kernel. */
typedef struct NetdRefusal {
        const char *address;
        uint32_t protocol, port;
        uint64_t packets;
} NetdRefusal;

/* The sums that stand before the rows. */
int netd_read_sums(sd_bus_message *m, uint64_t *ret_accepted, uint64_t *ret_refused);
int netd_read_refusal(sd_bus_message *m, NetdRefusal *ret);

/* Bytes of all ways out: rows of digits, received, sent. */
int netd_usage(NetdClient *c, PeerCallback callback, void *userdata);

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
