/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/time-util.h"
#include "libsandbox/pool.h"
#include "tests/test.h"

#define START (1000 * USEC_PER_SEC)
#define MSEC(n) (START + (n) * USEC_PER_MSEC)

static unsigned plan_at(Pool *p, uint64_t now) {
        uint64_t again;
        unsigned n = pool_plan(p, now, &again);

        p->n_making += n;
        return n;
}

static uint64_t again_at(Pool *p, uint64_t now) {
        uint64_t again;

        ASSERT_EQ(pool_plan(p, now, &again), 0U);
        return again;
}

static void all_made(Pool *p, uint64_t now) {
        while (p->n_making > 0) {
                pool_note_made(p, true, now);
                if (p->n_waiting > 0)
                        p->n_waiting--;
                else
                        p->n_ready++;
        }
}

TEST(nothing_before_the_first_creation) {
        Pool p = POOL_INIT(8, 10);

        ASSERT_TRUE(again_at(&p, START) == USEC_INFINITY);
        p.used = true;
        ASSERT_EQ(plan_at(&p, START), 8U);
        ASSERT_TRUE(again_at(&p, START) == USEC_INFINITY); /* the one under way */
        all_made(&p, MSEC(10));
        ASSERT_TRUE(again_at(&p, MSEC(10)) == USEC_INFINITY);
}

TEST(size_zero_makes_on_demand_only) {
        Pool p = POOL_INIT(0, 10);

        p.used = true;
        ASSERT_TRUE(again_at(&p, START) == USEC_INFINITY);
        p.n_waiting = 3;
        ASSERT_EQ(plan_at(&p, START), 3U);
        ASSERT_EQ(plan_at(&p, START), 0U);
}

/* Who waits pays for the moves of all: the spares come along. */
TEST(demand_fills_the_pool_at_once) {
        Pool p = POOL_INIT(8, 10);

        p.used = true;
        p.busy_usec = START;
        p.n_waiting = 1;
        ASSERT_EQ(plan_at(&p, START), 9U);
        all_made(&p, MSEC(15));
        ASSERT_EQ(p.n_ready, 8U);
}

TEST(burst_is_bounded) {
        Pool p = POOL_INIT(8, 10);
        unsigned total = 0;

        p.used = true;
        for (unsigned i = 0; i < 100; i++) {
                p.n_waiting++;
                total += plan_at(&p, START);
                ASSERT_TRUE(p.n_making <= POOL_IN_FLIGHT_MAX);
        }
        ASSERT_EQ(p.n_making, POOL_IN_FLIGHT_MAX);
        for (unsigned rounds = 0; p.n_waiting > 0; rounds++) {
                ASSERT_TRUE(rounds < 200);
                pool_note_made(&p, true, MSEC(rounds));
                p.n_waiting--;
                total += plan_at(&p, MSEC(rounds));
                ASSERT_TRUE(p.n_making >= MIN(p.n_waiting, POOL_IN_FLIGHT_MAX));
        }
        ASSERT_EQ(total, 100U + p.n_making);
        all_made(&p, MSEC(200));
        ASSERT_TRUE(p.n_ready <= 8);
}

TEST(rate) {
        Pool p = POOL_INIT(8, 10);
        unsigned made = 0;

        p.used = true;
        /* Ten seconds in which every spare is taken at once. */
        for (uint64_t t = 0; t < 10000; t += 10) {
                made += plan_at(&p, MSEC(t));
                all_made(&p, MSEC(t));
                p.n_ready = 0;
        }
        ASSERT_TRUE(made >= 90);
        ASSERT_TRUE(made <= 110);
}

TEST(quiet_moments_first) {
        Pool p = POOL_INIT(8, 10);

        p.used = true;
        p.n_ready = 7;
        pool_note_busy(&p, START);
        ASSERT_TRUE(again_at(&p, START) == START + POOL_QUIET_USEC);
        pool_note_busy(&p, MSEC(50));
        ASSERT_TRUE(again_at(&p, MSEC(100)) == MSEC(50) + POOL_QUIET_USEC);
        ASSERT_EQ(plan_at(&p, MSEC(150)), 1U);
}

TEST(there_may_be_no_quiet_moment) {
        Pool p = POOL_INIT(8, 10);
        uint64_t t;

        p.used = true;
        p.n_ready = 7;
        for (t = START; t < START + 2 * POOL_PATIENCE_USEC; t += USEC_PER_MSEC) {
                pool_note_busy(&p, t);
                if (plan_at(&p, t) > 0)
                        break;
        }
        ASSERT_TRUE(t == START + POOL_PATIENCE_USEC);

        /* Half empty: at once. */
        p.n_making = 0;
        p.n_ready = 4;
        p.next_usec = 0;
        pool_note_busy(&p, t);
        ASSERT_EQ(plan_at(&p, t), 4U);
}

static void take(Pool *p, unsigned n, uint64_t now) {
        for (unsigned i = 0; i < n; i++) {
                if (p->n_ready > 0)
                        p->n_ready--;
                else
                        p->n_waiting++;
                pool_note_demand(p, now);
        }
}

static void make_all(Pool *p, uint64_t now) {
        while (plan_at(p, now) > 0)
                all_made(p, now);
}

TEST(burst_is_remembered_for_a_while) {
        Pool p = POOL_INIT(8, 0);
        uint64_t again;

        p.size_max = 64;
        p.used = true;
        make_all(&p, START);
        ASSERT_EQ(p.n_ready, 8U);
        take(&p, 8, START);
        ASSERT_EQ(pool_size(&p), 8U);
        make_all(&p, MSEC(1000));

        take(&p, 40, MSEC(2000));
        ASSERT_EQ(p.n_waiting, 32U);
        ASSERT_EQ(pool_size(&p), 40U);
        make_all(&p, MSEC(3000));
        ASSERT_EQ(p.n_waiting, 0U);
        ASSERT_EQ(p.n_ready, 40U);

        /* One as large, all of it served at once; what is taken one by one does not count. */
        take(&p, 40, MSEC(10000));
        ASSERT_EQ(p.n_waiting, 0U);
        make_all(&p, MSEC(11000));
        take(&p, 1, MSEC(20000));
        make_all(&p, MSEC(21000));
        ASSERT_EQ(p.n_ready, 40U);

        ASSERT_EQ(pool_plan(&p, MSEC(10000) + POOL_BURST_USEC - 1, &again), 0U);
        ASSERT_TRUE(again == MSEC(10000) + POOL_BURST_USEC);
        ASSERT_EQ(pool_surplus(&p), 0U);
        ASSERT_EQ(pool_plan(&p, again, &again), 0U);
        ASSERT_EQ(pool_surplus(&p), 20U);
        ASSERT_EQ(pool_plan(&p, again + POOL_BURST_USEC, &again), 0U);
        ASSERT_EQ(pool_surplus(&p), 32U);
        ASSERT_TRUE(again == USEC_INFINITY);
}

TEST(burst_lies_where_it_likes) {
        Pool p = POOL_INIT(8, 0);

        p.size_max = 64;
        take(&p, 6, MSEC(0));
        take(&p, 10, MSEC(490));
        take(&p, 10, MSEC(510));
        ASSERT_TRUE(pool_size(&p) >= 20);

        /* So many, but one after the other. */
        p = (Pool) POOL_INIT(8, 0);
        p.size_max = 64;
        for (unsigned i = 0; i < 100; i++)
                take(&p, 1, MSEC(200 * i));
        ASSERT_EQ(pool_size(&p), 8U);
}

TEST(burst_has_a_bound) {
        Pool p = POOL_INIT(8, 0), none = POOL_INIT(0, 0);

        p.size_max = 64;
        take(&p, 1000, START);
        ASSERT_EQ(pool_size(&p), 64U);
        none.size_max = 64;
        take(&none, 1000, START);
        ASSERT_EQ(pool_size(&none), 0U);
}

/* They would be in the way of the burst that they are a memory of. */
TEST(none_is_made_for_the_next_burst_while_one_waits) {
        Pool p = POOL_INIT(8, 0);

        p.size_max = 64;
        p.used = true;
        p.n_making = 8;
        take(&p, 8, START);
        take(&p, 1, START);
        p.burst = 64;
        ASSERT_EQ(plan_at(&p, START), 8U);
}

TEST(failures_pause) {
        Pool p = POOL_INIT(1, 0);
        uint64_t t = START, again;
        unsigned tries = 0;

        p.used = true;
        for (; t < START + 60 * USEC_PER_SEC; t = again) {
                while (plan_at(&p, t) > 0) {
                        tries++;
                        pool_note_made(&p, false, t);
                }
                again = again_at(&p, t);
                ASSERT_TRUE(again > t);
                ASSERT_TRUE(again <= t + POOL_BACKOFF_MAX_USEC);
        }
        ASSERT_TRUE(tries >= 6);
        ASSERT_TRUE(tries <= 20);

        /* Who waits is not made to wait for that. */
        p.n_waiting = 1;
        ASSERT_TRUE(plan_at(&p, t) >= 1);
        pool_note_made(&p, true, t);
        ASSERT_EQ(p.n_failures, 0U);
}
