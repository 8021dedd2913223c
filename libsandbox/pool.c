/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/pool.h"

#include "libsandbox/time-util.h"

/* The arithmetic of pool.h. Two kinds of demand are kept apart: calls that wait (n_waiting), which are served at once
 * and whatever the rate, and spares that are missing, which can be made at leisure. A spare under way counts for a
 * waiting call first, so that a crowd of calls does not make the pool look empty and be filled twice. */

static unsigned subtract(unsigned a, unsigned b) {
        return a > b ? a - b : 0;
}

unsigned pool_size(const Pool *p) {
        return p->size > 0 ? MAX(p->size, MIN(p->burst, p->size_max)) : 0;
}

unsigned pool_surplus(const Pool *p) {
        return subtract(p->n_ready, pool_size(p));
}

/* Those under way belong to the ones who wait first. */
static unsigned missing_spares(const Pool *p, unsigned size) {
        return p->used ? subtract(size, p->n_ready + subtract(p->n_making, p->n_waiting)) : 0;
}

static void forget_burst(Pool *p, uint64_t now) {
        while (p->burst > 0 && now >= usec_add(p->burst_usec, POOL_BURST_USEC)) {
                p->burst_usec += POOL_BURST_USEC;
                p->burst /= 2;
                if (p->burst <= p->size)
                        p->burst = 0;
        }
}

/* The moment of the next batch for which nobody waits. Half a pool is enough to wait for quiet with. */
static uint64_t next_batch(const Pool *p) {
        uint64_t quiet = usec_add(p->busy_usec, POOL_QUIET_USEC), latest = usec_add(p->short_usec, POOL_PATIENCE_USEC);

        if (p->n_ready <= pool_size(p) / 2)
                latest = p->short_usec;
        return MAX(p->next_usec, MIN(quiet, latest));
}

unsigned pool_plan(Pool *p, uint64_t now, uint64_t *ret_again_usec) {
        unsigned unserved = subtract(p->n_waiting, p->n_making), missing, n;

        forget_burst(p, now);
        missing = missing_spares(p, pool_size(p));
        *ret_again_usec = p->burst > 0 ? usec_add(p->burst_usec, POOL_BURST_USEC) : USEC_INFINITY;
        if (missing == 0)
                p->short_usec = USEC_INFINITY;
        else if (p->short_usec == USEC_INFINITY)
                p->short_usec = now;

        if (unserved == 0) {
                uint64_t at = next_batch(p);

                /* One batch at a time: the end of the one under way asks again. */
                if (missing == 0 || p->n_making > 0)
                        return 0;
                if (now < at) {
                        *ret_again_usec = MIN(*ret_again_usec, at);
                        return 0;
                }
        } else
                missing = missing_spares(p, p->size); /* what is kept for another burst is not to be in his way */

        n = MIN(unserved + missing, subtract(POOL_IN_FLIGHT_MAX, p->n_making));
        if (n > 0 && p->rate > 0)
                p->next_usec = MAX(p->next_usec, now + n * USEC_PER_SEC / p->rate);
        return n;
}

void pool_note_demand(Pool *p, uint64_t now) {
        unsigned n;

        if (now >= usec_add(p->taken_usec, POOL_AT_ONCE_USEC)) {
                p->n_taken_before = now < usec_add(p->taken_usec, 2 * POOL_AT_ONCE_USEC) ? p->n_taken : 0;
                p->taken_usec = now;
                p->n_taken = 0;
        }
        p->n_taken++;
        n = p->n_taken + p->n_taken_before;
        if (n <= p->size || n <= p->burst / 2)
                return;
        p->burst = MAX(p->burst, n);
        p->burst_usec = now;
}

void pool_note_busy(Pool *p, uint64_t now) {
        p->busy_usec = now;
}

/* What fails once will fail again soon: a pool that cannot be filled shall not keep the machine busy with trying. */
void pool_note_made(Pool *p, bool success, uint64_t now) {
        uint64_t pause;

        assert(p->n_making > 0);

        p->n_making--;
        if (success) {
                p->n_failures = 0;
                return;
        }
        pause = (100 * USEC_PER_MSEC) << MIN(p->n_failures, 10U);
        pause = MIN(pause, POOL_BACKOFF_MAX_USEC);
        p->next_usec = MAX(p->next_usec, now + pause);
        p->n_failures++;
}
