/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/peer.h"

/* io.sandboxd.Dns1 as functions. All of them may be done twice. */

typedef struct DnsClient DnsClient;

int dns_client_new(sd_event *event, const char *path, DnsClient **ret);
DnsClient *dns_client_free(DnsClient *c);
DEFINE_CLEANUP(DnsClient *, dns_client_free)

int dns_set(DnsClient *c, const char *id, const char *address, char *const *names, PeerCallback callback, void *userdata);
int dns_forget(DnsClient *c, const char *id, PeerCallback callback, void *userdata);
/* Forgets all but these. */
int dns_retain(DnsClient *c, char **ids, PeerCallback callback, void *userdata);
int dns_decisions(DnsClient *c, const char *id, PeerCallback callback, void *userdata);

typedef struct DnsDecision {
        const char *name;
        uint16_t type;
        uint32_t verdict;       /* 0: denied, 1: allowed, 2: allowed, but its addresses are private */
        uint64_t time_msec, count;
} DnsDecision;

/* The sums that stand before the rows. */
int dns_read_sums(sd_bus_message *m, uint64_t *ret_allowed, uint64_t *ret_denied, uint64_t *ret_private);
/* > 0 while there is a row. The name is borrowed from the message. */
int dns_read_decision(sd_bus_message *m, DnsDecision *ret);
