/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

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
        uint64_t unwritten[_COUNTER_MAX];
        sd_event_source *writer;
        uint64_t started_usec;  /* CLOCK_BOOTTIME of the first start in this boot: uptimeSeconds */
} Counters;

int counters_load(Counters *c, sd_event *event, Store *store);
void counters_done(Counters *c);
void counters_add(Counters *c, Counter which);
/* Written when nothing else is to be done: for what a client waits for. A crash until then loses it. */
void counters_add_later(Counters *c, Counter which);
