/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <netinet/in.h>

#include "libsandbox/macro.h"

/* IPv4 addresses as numbers in the host's byte order. */

typedef struct Prefix {
        uint32_t address; /* the bits behind the prefix are 0 */
        unsigned bits;
} Prefix;

#define ADDRESS_TEXT_MAX INET_ADDRSTRLEN
#define PREFIX_TEXT_MAX (INET_ADDRSTRLEN + 3)

/* Not for the world to reach: this host, its networks, those of clouds (169.254.169.254), many at once. */
extern const Prefix guarded_prefixes[];
extern const size_t n_guarded_prefixes;

/* The list of a setting, separated by commas or blanks. -EINVAL, and *ret_bad (a copy, may be NULL) says what is none. */
int prefixes_parse(const char *text, Prefix **ret, size_t *ret_n, char **ret_bad);
/* "192.0.2.0/24"; a bare address is one of 32 bits. -EINVAL, also if bits behind the prefix are set. */
int prefix_parse(const char *s, Prefix *ret);
const char *prefix_format(const Prefix *p, char buffer[PREFIX_TEXT_MAX]);
int address_parse(const char *s, uint32_t *ret);
const char *address_format(uint32_t address, char buffer[ADDRESS_TEXT_MAX]);
uint32_t prefix_mask(unsigned bits);
bool prefixes_overlap(const Prefix *a, const Prefix *b);
/* Of the guarded ones, and of none that is allowed. */
bool address_is_guarded(uint32_t address, const Prefix *allowed, size_t n_allowed);

/* The first address of a range is the gateway that all its sandboxes see, the others are theirs. The n-th try to find
 * one for this id: where it begins is as random as the id, so that one that was just freed is not soon another's. */
uint32_t range_gateway(const Prefix *range);
uint32_t range_candidate(const Prefix *range, const char *id, unsigned n);

/* A user's network is a /24 of the private range; members have the numbers 1 to 253. */
#define NETWORK_BITS 24U
#define NETWORK_MEMBER_MAX 253U

/* -ERANGE: the range has no such network, or a network no such member. */
int private_network(const Prefix *range, unsigned network, Prefix *ret);
int private_member(const Prefix *range, unsigned network, unsigned member, uint32_t *ret);
