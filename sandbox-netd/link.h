/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <net/if.h>

#include "libsandbox/address.h"
#include "sandbox-netd/netlink.h"

/* The wires: a pair of veth interfaces each, one end on the host, the other in the sandbox's network namespace. There is
 * no bridge: the host routes to each sandbox by a route of 32 bits, so that there is nothing that two of them share, no
 * address that one could take from another, and nothing to take away: all of it goes with the namespace.
 *
 * The host's end tells by its name whose it is: "sbe" and 12 digits of the id is the way out, "sbm", two digits of a
 * network's number and 10 of the id is that of a member. Its alias is the address, written last: without one it was
 * left half-made. */

#define LINK_EGRESS "sbe"
#define LINK_MEMBER "sbm"
#define LINK_EGRESS_DIGITS 12U
#define LINK_MEMBER_DIGITS 10U

/* Groups of interfaces, by which the rules tell networks apart. */
#define LINK_GROUP_EGRESS 0x5b0100U
#define LINK_GROUP_MEMBER 0x5b0000U /* and the number of the network */

/* What a member's routes lead to. It is no interface's address: whoever is asked for by it is written down. */
#define LINK_NEXT_HOP 0xa9fe0101U /* 169.254.1.1 */

typedef char LinkName[IFNAMSIZ];

void link_name_egress(const char *id, LinkName ret);
void link_name_member(const char *id, unsigned network, LinkName ret);

typedef struct LinkSpec {
        const char *id;
        const char *name;         /* of the host's end */
        char inner[IFNAMSIZ];     /* in the sandbox */
        unsigned group;
        int namespace_fd;
        struct nl_sock *host, *inside;
} LinkSpec;

/* Makes the pair, instead of one that was left half-made, with both ends up. */
int link_make(const LinkSpec *spec, unsigned *ret_host, unsigned *ret_inner);
/* Address, routes and neighbours of both ends. The first is -EEXIST if the address is another's. */
int link_route_egress(const LinkSpec *spec, unsigned host, unsigned inner, uint32_t address, uint32_t gateway);
int link_route_member(const LinkSpec *spec, unsigned host, unsigned inner, uint32_t address, const Prefix *network);
/* It is whole. */
int link_set_alias(struct nl_sock *host, unsigned index, uint32_t address);
/* The address that is in the alias; -ENODEV: no such interface, -EUCLEAN: it is not whole. */
int link_get_alias(struct nl_sock *host, const char *name, uint32_t *ret);
/* One that is not there is fine. */
int link_remove(struct nl_sock *host, const char *name);

/* A host's end: what it has received the sandbox has sent. */
typedef struct LinkState {
        const char *name;
        uint32_t address;
        uint64_t received_bytes, sent_bytes;
} LinkState;

/* Of each whole one. */
int link_foreach(struct nl_sock *host, int (*handler)(const LinkState *link, void *userdata), void *userdata);
/* -EADDRINUSE: a route of the host's own leads into the range, and *ret tells which. */
int link_check_range(struct nl_sock *host, const Prefix *range, Prefix *ret);
