/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/pool.h"

/* The blank sandboxes that nobody has reserved yet, and who waits for one. When and how many is decided in pool.h. */

typedef struct Manager Manager;
typedef struct Sandbox Sandbox;
typedef struct Reservation Reservation;

typedef struct Blanks {
        Pool pool;
        Sandbox *spares;        /* parked; linked by next_spare */
        Sandbox *lent;          /* reserved ahead, see blanks_lend(); counts as ready */
        Reservation *first, **last;
        sd_event_source *timer;
        bool draining;          /* idle: they are given back, none are made */
} Blanks;

int blanks_init(Manager *m);
void blanks_done(Manager *m);

/* Begins what is missing, or sees to it that it will be begun. */
void blanks_replenish(Manager *m);

/* Answers the call with the id of a spare, or as soon as one is parked: all that are on their way serve whoever has
 * waited longest, whether they were begun for him or not. */
int blanks_reserve(Manager *m, sd_bus_message *call);
/* The connection is gone, and with it whoever waited there. */
void blanks_forget_peer(Manager *m, const sd_bus *bus);

/* The id of a spare that this peer may create without a Reserve before; NULL: there is none to spare. */
const char *blanks_lend(Manager *m, sd_bus *bus);
/* It is created, or ends: a spare less. */
void blank_unlend(Sandbox *s);

/* A pooled sandbox is parked. */
void blank_parked(Sandbox *s);
/* A pooled sandbox ends: error < 0 when it could not be made. */
void blank_lost(Sandbox *s);

/* A command starts: a bad moment for stopping all forks. */
void blanks_note_busy(Manager *m);
/* Ends all of them and makes no more until somebody reserves one; the number of those that are still ending. */
unsigned blanks_drain(Manager *m);
/* The settings changed: spares have the limits of the old ones. */
void blanks_reload(Manager *m);
