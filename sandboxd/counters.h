/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/store.h"

/* Totals since the database was made; they outlive sandboxd, which comes and goes. */
typedef enum Counter {
        COUNTER_CREATED,
        COUNTER_WARM,           /* of the created: taken whole out of the pool */
        COUNTER_BLANK,          /* ... made of a spare of execd's */
        COUNTER_COLD,           /* ... that had to wait for systemd */
        COUNTER_KILLED,
        COUNTER_EXPIRED,
        COUNTER_LOST,           /* ended by nobody's wish: the init died, the machine was restarted */
        _COUNTER_MAX,
} Counter;

typedef struct Counters {
        Store *store;
        uint64_t values[_COUNTER_MAX];
        uint64_t started_usec;  /* CLOCK_BOOTTIME of the first start in this boot: uptimeSeconds */
} Counters;

int counters_load(Counters *c, Store *store);
void counters_add(Counters *c, Counter which);
