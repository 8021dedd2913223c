/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/removal.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* The warm pool against services that answer at once, or as the test wants it. */

#define POOL { .pool_size = 2, .pool_profiles = "test,128,0.5,false" }
#define FITS "{\"image\":\"test\",\"memory\":128,\"cpu\":0.5,\"name\":\"mine\",\"metadata\":{\"a\":\"b\"}}"

static bool is_full(Core *c, void *userdata) {
        WarmFigures f;

        (void) userdata;
        ASSERT_TRUE(warm_get_figures(c->manager->warm, 0, &f));
        return f.ready == f.size && f.making == 0;
}

static void start(Core *c) {
        core_start(c);
        warm_start(c->manager->warm);
        core_wait(c, is_full, NULL);
}

static json_int_t created(Core *c, const char *how) {
        REQUEST(c, "GET", "/sandbox/metrics", NULL, r);

        return reply_integer(&r, how);
}

TEST(profiles) {
        static const struct {
                const char *text;
                size_t n;
        } cases[] = {
                { "",                                         1 },
                { "  ",                                       1 },
                { "a,128,1,true",                             1 },
                { "a,128,1,false;b,256,0.5,true;",            2 },
                { "a,128,1;b,256,0.5,true",                   1 },
                { "a,x,1,true",                               0 },
                { ",128,1,true",                              0 },
                { ";;",                                       0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Core c = { .pool_size = 1, .pool_profiles = cases[i].text };
                WarmFigures f;
                size_t n = 0;

                core_start(&c);
                while (warm_get_figures(c.manager->warm, n, &f))
                        n++;
                ASSERT_EQ(n, cases[i].n);
                core_stop(&c);
        }
}

TEST(no_pool) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        ASSERT_NULL(c.manager->warm);
        ASSERT_EQ(warm_count(NULL), 0U);
        ASSERT_EQ(warm_drain(NULL), 0U);
}

TEST(claimed_by_who_fits) {
        _cleanup_(core_stop) Core c = POOL;

        start(&c);
        ASSERT_EQ(c.execd.n_sandboxes, 2);
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes", NULL, r);
                ASSERT_EQ(reply_integer(&r, "total"), 0);
        }
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes", FITS, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "name"), "mine");
                ASSERT_STREQ(reply_string(&r, "status"), "running");
        }
        ASSERT_EQ(created(&c, "createdWarm"), 1);
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\"}", r);
                ASSERT_EQ(r.status, 200);
        }
        ASSERT_EQ(created(&c, "createdWarm"), 1);
        ASSERT_EQ(created(&c, "createdBlank"), 1);
        core_wait(&c, is_full, NULL);
        ASSERT_EQ(hashmap_size(c.manager->sandboxes), 2U);
        {
                REQUEST(&c, "GET", "/sandbox/pool/status", NULL, r);
                ASSERT_EQ(reply_integer(&r, "ready"), 2);
        }
}

/* It ended between its making and its taking: the client gets another one. */
TEST(claim_fails) {
        static const char *const names[] = { BUS_ERROR_NO_SUCH_SANDBOX, BUS_ERROR_UNAVAILABLE };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(core_stop) Core c = POOL;

                start(&c);
                c.execd.fail_method = "Claim";
                c.execd.fail_name = names[i];
                REQUEST(&c, "POST", "/sandbox/sandboxes", FITS, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(created(&c, "createdWarm"), 0);
                ASSERT_EQ(created(&c, "createdBlank"), 1);
                ASSERT_EQ(c.manager->n_reserved, 0U);
                core_wait(&c, is_full, NULL);
        }
}

static bool none_is_left(Core *c, void *userdata) {
        (void) userdata;
        return warm_drain(c->manager->warm) == 0 && c->execd.n_sandboxes == 0 && c->fsd.n_roots == 0;
}

TEST(drained) {
        _cleanup_(core_stop) Core c = POOL;
        uint64_t noted;

        start(&c);
        ASSERT_OK(store_get_number(c.manager->store, "warm", &noted));
        ASSERT_EQ(noted, 1U);
        core_wait(&c, none_is_left, NULL);
        ASSERT_OK(store_get_number(c.manager->store, "warm", &noted));
        ASSERT_EQ(noted, 0U);
}

/* The next start ends them and keeps what is a client's. */
TEST(left_by_a_crash) {
        _cleanup_(core_stop) Core c = POOL;

        start(&c);
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes", FITS, r);
                ASSERT_EQ(r.status, 200);
        }
        core_wait(&c, is_full, NULL);
        core_stop_sandboxd(&c);
        ASSERT_EQ(c.execd.n_sandboxes, 3);
        core_start_sandboxd(&c);
        ASSERT_EQ(hashmap_size(c.manager->sandboxes), 1U);
        warm_start(c.manager->warm);
        core_wait(&c, is_full, NULL);
        ASSERT_EQ(c.execd.n_sandboxes, 3);
}

TEST(makes_room) {
        _cleanup_(core_stop) Core c = { .pool_size = 2, .pool_profiles = "test,128,0.5,false", .max_sandboxes = 3 };
        char id[40];

        start(&c);
        for (size_t i = 0; i < 3; i++)
                core_create(&c, id);
        ASSERT_EQ(hashmap_size(c.manager->sandboxes), 3U);
        REQUEST(&c, "POST", "/sandbox/sandboxes", FITS, r);
        ASSERT_EQ(r.status, 429);
        ASSERT_EQ(warm_count(c.manager->warm), 0U);
}
