/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-netd/elements.h"
#include "sandbox-netd/manager.h"

/* What the methods on lists do. */

#define PIN_ADDRESSES_MAX 64U
#define PIN_SEC_MAX 86400U

/* Takes the list over, also on failure. Idempotent. *ret is the address of the sandbox. */
int manager_restrict(Manager *m, EgressList *l, uint32_t *ret, sd_bus_error *error);
/* No list, no trace of one. One without is fine. */
int manager_release(Manager *m, const char *id, sd_bus_error *error);

typedef struct Pin {
        uint32_t source, mark;
        uint16_t port;          /* 0: any */
        struct PinAddress {
                uint32_t address, sec;
        } addresses[PIN_ADDRESSES_MAX];
        size_t n_addresses;
} Pin;

/* Guarded addresses are left out. *ret_n: how many were not. */
int manager_pin(Manager *m, const Pin *pin, unsigned *ret_n, sd_bus_error *error);

/* What of a set or map belongs to one source. */
int manager_get_elements(Manager *m, const char *set, uint32_t source, Element **ret, size_t *ret_n);
/* Packets of the counter of one source. */
uint64_t manager_get_counter(Manager *m, const char *set, uint32_t source);

/* Lists whose sandbox has no wire any more. */
void manager_collect_lists(Manager *m);
/* What was refused goes to the journal; not before a moment has passed, so that many calls make it once. */
void manager_log_refused_soon(Manager *m);
