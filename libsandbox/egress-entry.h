/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/address.h"
#include "libsandbox/egress-mark.h"

/* One line of the list of what a sandbox may reach:
 *
 *   192.0.2.0/24, 192.0.2.1     addresses
 *   example.org                 the addresses that this name has
 *   *.example.org               those of all names below it, at any depth, but not its own
 *   any of these with ":443"    the port alone */

#define EGRESS_NAME_MAX 253U
#define EGRESS_ENTRY_MAX (EGRESS_NAME_MAX + 3 + 6)

typedef struct EgressEntry {
        bool is_name, wildcard;
        char name[EGRESS_NAME_MAX + 1]; /* lower case, without the "*." */
        Prefix prefix;
        uint16_t port;                  /* 0: any */
} EgressEntry;

/* -EINVAL. */
int egress_entry_parse(const char *text, EgressEntry *ret);
/* The one way to write it. */
const char *egress_entry_format(const EgressEntry *e, char buffer[EGRESS_ENTRY_MAX]);
/* Of what egress_entry_format() writes. */
uint32_t egress_entry_mark(const EgressEntry *e);
/* name: lower case, without a dot at its end. */
bool egress_entry_matches(const EgressEntry *e, const char *name);
/* Letters, digits, '-' and '_' between dots, in labels of 1 to 63. */
bool egress_name_is_valid(const char *name);
