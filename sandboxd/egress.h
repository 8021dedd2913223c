/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/manager.h"

/* What a sandbox with a network may reach: everything, or what stands on a list in its config, {"egress": {"allow":
 * [...]}}. sandbox-netd gets the prefixes, and numbers in place of names; sandbox-dns gets the names. */

#define EGRESS_LIST_MAX 256U

/* Checks a list and writes each entry in the one way. *ret is a new reference. */
int egress_list_read(const json_t *list, json_t **ret, sd_bus_error *error);
/* That of a config; NULL: it may reach everything. Borrowed. */
json_t *egress_get_list(const json_t *config);
/* The list of a config is this one, which is taken over; NULL: there is none. */
int egress_set_list(json_t *config, json_t *list);

/* error NULL: it is in force. */
typedef void (*EgressCallback)(const sd_bus_error *error, void *userdata);

/* Makes the kernel and sandbox-dns have this list. NULL: none, also for a sandbox that is gone. Idempotent. */
int egress_apply(Manager *m, Sandbox *s, const json_t *list, EgressCallback callback, void *userdata);
/* Lists of sandboxes that are not there. */
int egress_forget_others(Manager *m);
