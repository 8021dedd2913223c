/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/queue-policy.h"

#include <string.h>

#include "tests/test.h"

#define ITEMS_MAX 40U

typedef struct Fixture {
        QueuePolicy *policy;
        QueueItem items[ITEMS_MAX];
        const char *closed;
} Fixture;

static void fixture_start(Fixture *f) {
        *f = (Fixture) {};
        ASSERT_OK(queue_policy_new(&f->policy));
}

static void fixture_done(Fixture *f) {
        for (size_t i = 0; i < ITEMS_MAX; i++)
                queue_policy_remove(f->items + i);
        queue_policy_free(f->policy);
}

static void add(Fixture *f, unsigned i, const char *lane) {
        f->items[i].number = i;
        ASSERT_OK(queue_policy_add(f->policy, lane, f->items + i, QUEUE_READY));
}

static bool is_open(const char *lane, void *userdata) {
        const Fixture *f = userdata;

        return !f->closed || strcmp(f->closed, lane) != 0;
}

static int next(Fixture *f, uint64_t now, unsigned lane, unsigned total) {
        QueueItem *item = queue_policy_next(f->policy, now, &(QueueLimits) { lane, total }, is_open, f);

        return item ? (int) (item - f->items) : -1;
}

TEST(order_in_a_lane) {
        _cleanup_(fixture_done) Fixture f;

        fixture_start(&f);
        for (unsigned i = 0; i < 5; i++)
                add(&f, i, "a");
        for (int i = 0; i < 5; i++)
                ASSERT_EQ(next(&f, 0, 9, 9), i);
        ASSERT_EQ(next(&f, 0, 9, 9), -1);
        /* What comes back keeps its rank, whatever came meanwhile. */
        add(&f, 5, "a");
        queue_policy_move(f.items + 3, QUEUE_READY);
        queue_policy_move(f.items + 1, QUEUE_READY);
        ASSERT_EQ(next(&f, 0, 9, 9), 1);
        ASSERT_EQ(next(&f, 0, 9, 9), 3);
        ASSERT_EQ(next(&f, 0, 9, 9), 5);
}

TEST(lanes_take_turns) {
        static const int expected[] = { 0, 10, 20, 1, 11, 2, 3, 4 };
        _cleanup_(fixture_done) Fixture f;

        fixture_start(&f);
        for (unsigned i = 0; i < 5; i++)
                add(&f, i, "a");
        add(&f, 10, "b");
        add(&f, 11, "b");
        add(&f, 20, "c");
        for (size_t i = 0; i < ELEMENTSOF(expected); i++)
                ASSERT_EQ(next(&f, 0, 9, 99), expected[i]);
}

TEST(limits) {
        _cleanup_(fixture_done) Fixture f;

        fixture_start(&f);
        for (unsigned i = 0; i < 5; i++)
                add(&f, i, "a");
        add(&f, 10, "b");
        ASSERT_EQ(next(&f, 0, 2, 9), 0);
        ASSERT_EQ(next(&f, 0, 2, 9), 10);
        ASSERT_EQ(next(&f, 0, 2, 9), 1);
        ASSERT_EQ(next(&f, 0, 2, 9), -1);
        queue_policy_remove(f.items + 0);
        ASSERT_EQ(next(&f, 0, 2, 2), -1); /* the other one is in its place */
        ASSERT_EQ(next(&f, 0, 2, 3), 2);
        ASSERT_EQ(queue_policy_running(f.policy), 3);
}

TEST(delays_and_closed_lanes) {
        _cleanup_(fixture_done) Fixture f;
        QueueOutlook o;

        fixture_start(&f);
        add(&f, 0, "a");
        add(&f, 1, "a");
        add(&f, 10, "b");
        ASSERT_EQ(next(&f, 0, 9, 9), 0);
        f.items[0].due_usec = 100;
        queue_policy_move(f.items + 0, QUEUE_DELAYED);
        f.closed = "b";
        ASSERT_EQ(next(&f, 50, 9, 9), 1); /* one that waits does not hold up those behind it */
        ASSERT_EQ(next(&f, 99, 9, 9), -1);
        queue_policy_remove(f.items + 1);
        o = queue_policy_outlook(f.policy, is_open, &f);
        ASSERT_FALSE(o.busy);
        ASSERT_EQ(o.due_usec, 100);
        f.closed = "a";
        o = queue_policy_outlook(f.policy, is_open, &f);
        ASSERT_TRUE(o.busy);
        ASSERT_TRUE(o.due_usec == USEC_INFINITY);
        f.closed = NULL;
        add(&f, 2, "a");
        queue_policy_remove(f.items + 10);
        ASSERT_EQ(next(&f, 100, 9, 9), 0); /* and when its time has come it goes first */
        ASSERT_EQ(next(&f, 100, 9, 9), 2);
        ASSERT_TRUE(queue_policy_any(f.policy, "a") == f.items + 0);
        ASSERT_NULL(queue_policy_any(f.policy, "b"));
}

TEST(backoff) {
        static const struct {
                unsigned n;
                uint64_t expect;
        } cases[] = { { 1, 1 }, { 2, 2 }, { 3, 4 }, { 6, 32 }, { 7, 60 }, { 8, 60 }, { 1000000, 60 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t most = queue_backoff_usec(cases[i].n, USEC_PER_SEC, 60 * USEC_PER_SEC, 0);
                uint64_t least = queue_backoff_usec(cases[i].n, USEC_PER_SEC, 60 * USEC_PER_SEC, UINT32_MAX);

                ASSERT_EQ(most, cases[i].expect * USEC_PER_SEC);
                ASSERT_EQ(least, most / 2);
        }
        ASSERT_EQ(queue_backoff_usec(5, 0, 60 * USEC_PER_SEC, 7), 0);
        ASSERT_EQ(queue_backoff_usec(5, 90, 60, 0), 60);
}
