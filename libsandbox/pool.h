/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* How many spare sandboxes to begin, and when: arithmetic only, so that it can be tested without systemd. execd keeps
 * blank ones by it, sandboxd warm ones.
 *
 * To put a process into a cgroup the kernel stops every fork and exit of the machine for a grace period of RCU, 6 to 11
 * ms on a calm one; a second move right behind the first costs a quarter of a millisecond. So spares are begun many at
 * a time and seldom: at a rate, and preferably while no command starts. Who waits for one has to pay for the moves
 * anyway: then the missing spares are begun along with his.
 *
 * Who took many at once (a fork) may do it again: for a while as many are kept as were taken then, and after that half of
 * them, and so on. So a burst costs as much as the next one saves, at most twice that, and then nothing. */

/* Under way at a time: with more of them nothing gets faster. */
#define POOL_IN_FLIGHT_MAX 16U
/* No command and no creation for so long: a quiet moment. */
#define POOL_QUIET_USEC (100 * USEC_PER_MSEC)
/* Spares are missing for so long: the moment need not be quiet. */
#define POOL_PATIENCE_USEC (2 * USEC_PER_SEC)
#define POOL_BACKOFF_MAX_USEC (10 * USEC_PER_SEC)
/* What is taken in so long is taken at once, wherever in two such spans it begins. */
#define POOL_AT_ONCE_USEC (500 * USEC_PER_MSEC)
/* It is remembered for so long, then half of it. */
#define POOL_BURST_USEC (30 * USEC_PER_SEC)

typedef struct Pool {
        unsigned size;          /* spares to keep; 0: none */
        unsigned size_max;      /* after a burst; size, if that is more */
        unsigned rate;          /* spares a second as long as nobody waits; 0: any */
        bool used;              /* there was a creation: a daemon that was started for something else makes none */

        unsigned n_ready, n_making, n_waiting;

        uint64_t busy_usec;     /* the last command or creation */
        uint64_t short_usec;    /* since when spares are missing; USEC_INFINITY: they are not */
        uint64_t next_usec;     /* no batch before this */
        unsigned n_taken;       /* since taken_usec */
        unsigned n_taken_before; /* in the span before that */
        uint64_t taken_usec;
        unsigned burst;         /* the most taken at once; 0: no more than size */
        uint64_t burst_usec;    /* when that was, or was halved */
        unsigned n_failures;    /* in a row */
        uint64_t n_hits, n_misses;
} Pool;

#define POOL_INIT(s, r) { .size = (s), .rate = (r), .short_usec = USEC_INFINITY }

/* How many to keep just now, and how many there are beyond that. */
unsigned pool_size(const Pool *p);
unsigned pool_surplus(const Pool *p);
/* How many to begin now. *ret_again_usec: when to ask again, even if nothing happens until then; USEC_INFINITY: never.
 * The caller counts them in n_making. */
unsigned pool_plan(Pool *p, uint64_t now, uint64_t *ret_again_usec);
/* One was taken, or somebody waits for one. */
void pool_note_demand(Pool *p, uint64_t now);
/* A command starts, or a creation begins or ends. */
void pool_note_busy(Pool *p, uint64_t now);
/* One that was being made is ready, or failed. */
void pool_note_made(Pool *p, bool success, uint64_t now);
