/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* How many spare sandboxes to begin, and when: arithmetic only, so that it can be tested without systemd. execd keeps
 * blank ones by it, sandboxd warm ones.
 *
 * To put a process into a cgroup the kernel stops every fork and exit of the machine for a grace period of RCU, 6 to 11
 * ms on a calm one; a second move right behind the first costs a quarter of a millisecond. So spares are begun many at
 * a time and seldom: at a rate, and preferably while no command starts. Who waits for one has to pay for the moves
 * anyway: then the missing spares are begun along with his. */

/* Under way at a time: with more of them nothing gets faster. */
#define POOL_IN_FLIGHT_MAX 16U
/* No command and no creation for so long: a quiet moment. */
#define POOL_QUIET_USEC (100 * USEC_PER_MSEC)
/* Spares are missing for so long: the moment need not be quiet. */
#define POOL_PATIENCE_USEC (2 * USEC_PER_SEC)
#define POOL_BACKOFF_MAX_USEC (10 * USEC_PER_SEC)

typedef struct Pool {
        unsigned size;          /* spares to keep; 0: none */
        unsigned rate;          /* spares a second as long as nobody waits; 0: any */
        bool used;              /* there was a creation: a daemon that was started for something else makes none */

        unsigned n_ready, n_making, n_waiting;

        uint64_t busy_usec;     /* the last command or creation */
        uint64_t short_usec;    /* since when spares are missing; USEC_INFINITY: they are not */
        uint64_t next_usec;     /* no batch before this */
        unsigned n_failures;    /* in a row */
        uint64_t n_hits, n_misses;
} Pool;

#define POOL_INIT(s, r) { .size = (s), .rate = (r), .short_usec = USEC_INFINITY }

/* How many to begin now. *ret_again_usec: when to ask again, even if nothing happens until then; USEC_INFINITY: never.
 * The caller counts them in n_making. */
unsigned pool_plan(Pool *p, uint64_t now, uint64_t *ret_again_usec);
/* A command starts, or a creation begins or ends. */
void pool_note_busy(Pool *p, uint64_t now);
/* One that was being made is ready, or failed. */
void pool_note_made(Pool *p, bool success, uint64_t now);
