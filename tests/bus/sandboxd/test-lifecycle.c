/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

static const char *path(const char *id, const char *rest) {
        static char text[4][128];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s%s", id, rest);
        return text[i];
}

TEST(create_get_list_delete) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes",
                        "{\"image\":\"test:1\",\"timeout\":5,\"memory\":99999,\"metadata\":{\"a\":\"b\"},\"--\":[]}", r);
                json_t *config = json_object_get(r.json, "config");

                ASSERT_EQ(r.status, 200);
                snprintf(id, sizeof id, "%s", reply_string(&r, "id"));
                ASSERT_NOT_NULL(startswith(id, "sbx_"));
                ASSERT_EQ(strlen(id), 28);
                ASSERT_STREQ(reply_string(&r, "name"), id);
                ASSERT_STREQ(reply_string(&r, "image"), "test:1");
                ASSERT_STREQ(reply_string(&r, "status"), "running");
                ASSERT_STREQ(reply_string(&r, "workerId"), "worker");
                ASSERT_EQ(json_integer_value(json_object_get(config, "timeout")), 60);
                ASSERT_EQ(json_integer_value(json_object_get(config, "memory")), 4096);
                ASSERT_EQ(json_integer_value(json_object_get(config, "cpu")), 1);
                ASSERT_STREQ(json_string_value(json_object_get(config, "workdir")), "/workspace");
                ASSERT_EQ(reply_integer(&r, "expiresAt") - reply_integer(&r, "createdAt"), 60000);
        }
        ASSERT_EQ(c.execd.n_sandboxes, 1);
        {
                REQUEST(&c, "GET", path(id, ""), NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "status"), "running");
        }
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes?page=1&pageSize=5&status=running", NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "items")), 1);
                ASSERT_EQ(reply_integer(&r, "total"), 1);
                ASSERT_EQ(reply_integer(&r, "pageSize"), 5);
        }
        {
                REQUEST(&c, "DELETE", path(id, ""), NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(json_is_true(json_object_get(r.json, "success")));
        }
        {
                REQUEST(&c, "DELETE", path(id, ""), NULL, r);
                ASSERT_EQ(r.status, 404);
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "Sandbox not found: "));
        }
        ASSERT_EQ(c.execd.n_sandboxes, 0);
}

static bool roots_are_gone(Core *c, void *userdata) {
        (void) userdata;
        return c->fsd.n_roots == 0;
}

TEST(one_delete_wins) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        for (unsigned i = 0; i < 20; i++) {
                Client clients[4];
                unsigned won = 0, missed = 0;

                core_create(&c, id);
                for (size_t k = 0; k < ELEMENTSOF(clients); k++)
                        client_open(&c, clients + k, "DELETE", path(id, ""), NULL);
                for (size_t k = 0; k < ELEMENTSOF(clients); k++) {
                        _cleanup_(reply_done) Reply r = {};

                        client_wait(clients + k, &r);
                        won += r.status == 200;
                        missed += r.status == 404;
                }
                ASSERT_EQ(won, 1);
                ASSERT_EQ(missed, 3);
                ASSERT_EQ(c.execd.n_kills, i + 1);
        }
        core_wait(&c, roots_are_gone, NULL);
}

TEST(limit_is_exact) {
        _cleanup_(core_stop) Core c = { .max_sandboxes = 3 };
        Client clients[6];
        unsigned good = 0, refused = 0;

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_open(&c, clients + i, "POST", "/sandbox/sandboxes", "{\"image\":\"test\"}");
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                _cleanup_(reply_done) Reply r = {};

                client_wait(clients + i, &r);
                good += r.status == 200;
                refused += r.status == 429;
                if (r.status == 429)
                        ASSERT_STREQ(reply_string(&r, "error"), "Maximum sandbox limit reached: 3");
        }
        ASSERT_EQ(good, 3);
        ASSERT_EQ(refused, 3);
        ASSERT_EQ(c.execd.n_sandboxes, 3);
}

static bool nothing_is_left(Core *c, void *userdata) {
        (void) userdata;
        return c->fsd.n_roots == 0 && c->execd.n_sandboxes == 0 && hashmap_size(c->manager->sandboxes) == 0 &&
               c->manager->n_reserved == 0;
}

/* Each step of a creation fails, by an error and by a lost connection: nothing is left of it, and the next works. */
TEST(creation_fails) {
        static const struct {
                const char *execd_fail, *execd_before, *execd_after, *fsd_fail, *fsd_before;
                const char *image;
                unsigned status;
        } cases[] = {
                { .image = "unknown", .status = 400 },
                { .image = "test", .execd_fail = "Reserve", .status = 507 },
                { .image = "test", .execd_fail = "Create", .status = 507 },
                { .image = "test", .fsd_fail = "PrepareRoot", .status = 507 },
                { .image = "test", .execd_before = "Reserve", .status = 200 }, /* asked again */
                { .image = "test", .execd_before = "Create", .status = 503 },
                { .image = "test", .execd_after = "Create", .status = 503 },
                { .image = "test", .fsd_before = "PrepareRoot", .status = 503 },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40], body[64];

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                c.execd.fail_method = cases[i].execd_fail;
                c.fsd.fail_method = cases[i].fsd_fail;
                c.execd.fail_name = c.fsd.fail_name = BUS_ERROR_NO_SPACE;
                c.execd.cut_before = cases[i].execd_before;
                c.execd.cut_after = cases[i].execd_after;
                c.fsd.cut_before = cases[i].fsd_before;
                snprintf(body, sizeof body, "{\"image\":\"%s\"}", cases[i].image);
                {
                        REQUEST(&c, "POST", "/sandbox/sandboxes", body, r);
                        ASSERT_EQ(r.status, cases[i].status);
                        if (r.status == 200) {
                                REQUEST(&c, "DELETE", path(reply_string(&r, "id"), ""), NULL, d);
                                ASSERT_EQ(d.status, 200);
                        }
                }
                core_wait(&c, nothing_is_left, NULL);
                core_create(&c, id);
                REQUEST(&c, "DELETE", path(id, ""), NULL, d);
                ASSERT_EQ(d.status, 200);
                core_wait(&c, nothing_is_left, NULL);
        }
}

static void create_status(Core *c, unsigned status) {
        REQUEST(c, "POST", "/sandbox/sandboxes", "{\"image\":\"test:1\"}", r);

        ASSERT_EQ(r.status, status);
}

static bool only_live_roots(Core *c, void *userdata) {
        (void) userdata;
        return c->fsd.n_roots == c->execd.n_sandboxes;
}

static bool was_called(Core *c, void *userdata) {
        return c->execd.n_calls > *(unsigned *) userdata;
}

/* The id for the next creation comes with the answer to this one, and is good as long as the connection and no longer. */
TEST(created_ahead) {
        _cleanup_(core_stop) Core c = {};
        unsigned calls;

        core_start(&c);
        c.execd.lend = true;
        for (unsigned i = 0; i < 4; i++)
                create_status(&c, 200);
        ASSERT_EQ(c.execd.n_reserved, 1U);
        ASSERT_EQ(c.execd.n_sandboxes, 4);
        ASSERT_EQ(c.manager->n_reserved, 0U);

        /* Its init has died: another one is asked for, and the client notices nothing. */
        c.execd.fail_method = "Create";
        c.execd.fail_name = BUS_ERROR_WRONG_STATE;
        create_status(&c, 200);
        ASSERT_EQ(c.execd.n_reserved, 2U);
        ASSERT_EQ(c.execd.n_sandboxes, 5);
        core_wait(&c, only_live_roots, NULL);

        /* A creation that fails takes its id along. */
        c.fsd.fail_method = "PrepareRoot";
        c.fsd.fail_name = BUS_ERROR_NO_SPACE;
        create_status(&c, 507);
        create_status(&c, 200);
        ASSERT_EQ(c.execd.n_reserved, 3U);
        ASSERT_EQ(c.manager->n_reserved, 0U);

        /* What was lent over a connection is gone with it: before the creation, and in the middle of it. */
        calls = c.execd.n_calls;
        fake_execd_crash(&c.execd);
        core_wait(&c, was_called, &calls);
        create_status(&c, 200);
        ASSERT_EQ(c.execd.n_reserved, 4U);
        fake_execd_crash(&c.execd);
        create_status(&c, 200);
        ASSERT_EQ(c.execd.n_reserved, 5U);
        ASSERT_EQ(c.execd.n_sandboxes, 8);
        ASSERT_EQ(hashmap_size(c.manager->sandboxes), 8);
        core_wait(&c, only_live_roots, NULL);
}

TEST(pause_resume_renew) {
        _cleanup_(core_stop) Core c = {};
        json_int_t first;
        char id[40], body[64];

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/pause"), NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "paused");
                first = reply_integer(&r, "expiresAt");
        }
        {
                REQUEST(&c, "POST", path(id, "/exec"), "{\"command\":\"true\"}", r);
                ASSERT_EQ(r.status, 409);
                ASSERT_STREQ(reply_string(&r, "error"), "Sandbox is not running: paused");
        }
        {
                REQUEST(&c, "POST", path(id, "/pause"), NULL, r);
                ASSERT_EQ(r.status, 409);
        }
        {
                REQUEST(&c, "POST", path(id, "/resume"), NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "running");
        }
        {
                REQUEST(&c, "POST", path(id, "/resume"), NULL, r);
                ASSERT_EQ(r.status, 409);
        }
        snprintf(body, sizeof body, "{\"expiresAt\":%lld}", (long long) first + 600000);
        {
                REQUEST(&c, "POST", path(id, "/renew"), body, r);
                ASSERT_EQ(reply_integer(&r, "expiresAt"), first + 600000);
        }
        {
                REQUEST(&c, "POST", path(id, "/renew"), "{\"expiresAt\":5}", r);
                assert_true(reply_integer(&r, "expiresAt") >= (json_int_t) (now_usec(CLOCK_REALTIME) / 1000) + 50000);
        }
        {
                REQUEST(&c, "POST", path(id, "/renew"), "{}", r);
                ASSERT_EQ(r.status, 400);
                ASSERT_STREQ(reply_string(&r, "error"), "expiresAt is required");
        }
}

static bool has_no_sandbox(Core *c, void *userdata) {
        (void) userdata;
        return hashmap_size(c->manager->sandboxes) == 0;
}

TEST(expired_and_failed) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        fake_execd_gone(&c.execd, c.execd.sandboxes[0].id, "expired");
        core_wait(&c, has_no_sandbox, NULL);
        {
                REQUEST(&c, "GET", "/sandbox/metrics", NULL, r);
                ASSERT_EQ(reply_integer(&r, "totalExpired"), 1);
                ASSERT_EQ(reply_integer(&r, "totalCreated"), 1);
                ASSERT_EQ(reply_integer(&r, "activeSandboxes"), 0);
        }
        core_create(&c, id);
        fake_execd_gone(&c.execd, c.execd.sandboxes[0].id, "oom");
        {
                REQUEST(&c, "GET", path(id, ""), NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "failed");
        }
        {
                REQUEST(&c, "POST", path(id, "/exec"), "{\"command\":\"true\"}", r);
                ASSERT_EQ(r.status, 409);
        }
        {
                REQUEST(&c, "DELETE", path(id, ""), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
}

static bool strays_are_gone(Core *c, void *userdata) {
        (void) userdata;
        return c->fsd.n_roots == 1 && c->execd.n_sandboxes == 1;
}

TEST(restart_keeps_and_compares) {
        _cleanup_(core_stop) Core c = {};
        char kept[40], gone[40];

        core_start(&c);
        core_create(&c, kept);
        core_create(&c, gone);
        {
                REQUEST(&c, "POST", path(kept, "/pause"), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        core_stop_sandboxd(&c);
        c.execd.n_sandboxes = 1;
        free(c.execd.sandboxes[1].label);
        fake_execd_add(&c.execd, "0123456789abcdef0123456789abcdef", "live", "not a record");
        snprintf(c.fsd.roots[c.fsd.n_roots++], 33, "fedcba9876543210fedcba9876543210");
        core_start_sandboxd(&c);
        {
                REQUEST(&c, "GET", path(kept, ""), NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "paused");
        }
        {
                REQUEST(&c, "GET", path(gone, ""), NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        core_wait(&c, strays_are_gone, NULL);
}

static int count_row(const StoredSandbox *row, void *userdata) {
        (void) row;
        ++*(unsigned *) userdata;
        return 0;
}

static unsigned n_records(Core *c) {
        unsigned n = 0;

        ASSERT_OK(store_foreach_sandbox(c->manager->store, count_row, &n));
        return n;
}

static bool all_is_gone(Core *c, void *userdata) {
        return roots_are_gone(c, userdata) && n_records(c) == 0;
}

/* Were the record gone before the root is, a crash between the two would leave the root for ever. */
TEST(record_stays_until_the_root_is_removed) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        c.fsd.silent = true;
        {
                REQUEST(&c, "DELETE", path(id, ""), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        {
                REQUEST(&c, "GET", path(id, ""), NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        ASSERT_EQ(n_records(&c), 1);
        core_stop_sandboxd(&c);
        c.fsd.silent = false;
        core_start_sandboxd(&c);
        core_wait(&c, all_is_gone, NULL);
}

TEST(lost_database_adopts) {
        _cleanup_(core_stop) Core c = {};
        char id[40], name[128];

        core_start(&c);
        core_create(&c, id);
        core_stop_sandboxd(&c);
        snprintf(name, sizeof name, "%s/sandboxd.db", c.state);
        ASSERT_EQ(truncate(name, 1000), 0);
        core_start_sandboxd(&c);
        REQUEST(&c, "GET", path(id, ""), NULL, r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "image"), "test");
        ASSERT_STREQ(reply_string(&r, "status"), "running");
}

static bool sandbox_failed(Core *c, void *userdata) {
        Sandbox *s = manager_find_sandbox(c->manager, userdata);

        return s && s->state == SANDBOX_FAILED;
}

/* A sandbox ends while execd is away, too: nobody tells, so that we have to ask. */
TEST(end_in_silence) {
        _cleanup_(core_stop) Core c = {};
        char lost[40], kept[40];

        core_start(&c);
        core_create(&c, kept);
        core_create(&c, lost);
        {
                char where[128];

                snprintf(where, sizeof where, "/sandbox/sandboxes/%s/exec/background", kept);
                REQUEST(&c, "POST", where, "{\"command\":\"sleep 100\"}", r); /* somebody waits for signals */
                ASSERT_EQ(r.status, 200);
        }
        ASSERT_EQ(c.execd.n_sandboxes, 2);
        c.execd.n_sandboxes = 1;
        free(c.execd.sandboxes[1].label);
        fake_execd_crash(&c.execd);
        core_wait(&c, sandbox_failed, lost);
        ASSERT_FALSE(sandbox_failed(&c, kept));
}

/* Figures of a page come by one call, whatever the number of sandboxes; one that is not live has none. */
TEST(list_with_metrics) {
        _cleanup_(core_stop) Core c = {};
        json_t *items, *item;
        unsigned before;
        size_t i;

        core_start(&c);
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes?metrics=true", NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(reply_integer(&r, "total"), 0);
        }
        for (unsigned n = 0; n < 3; n++) {
                REQUEST(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test:1\"}", r);
                ASSERT_EQ(r.status, 200);
        }
        before = c.execd.n_calls;
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes?metrics=1", NULL, r);
                items = json_object_get(r.json, "items");
                ASSERT_EQ(json_array_size(items), 3);
                json_array_foreach(items, i, item) {
                        json_t *metrics = json_object_get(item, "metrics");

                        ASSERT_EQ(json_integer_value(json_object_get(metrics, "memoryUsageMb")), 20);
                        ASSERT_TRUE(json_equal(json_object_get(metrics, "sandboxId"), json_object_get(item, "id")));
                }
        }
        ASSERT_EQ(c.execd.n_calls, before + 1);
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes", NULL, r);
                ASSERT_NULL(json_object_get(json_array_get(json_object_get(r.json, "items"), 0), "metrics"));
        }
        ASSERT_EQ(c.execd.n_calls, before + 1);
        c.execd.fail_method = "StatsMany";
        c.execd.fail_name = BUS_ERROR_UNAVAILABLE;
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes?metrics=1", NULL, r);
                ASSERT_EQ(r.status, 503);
        }
}
