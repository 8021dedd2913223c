/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/worker.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Workers whose rows, and sandboxes whose records, the test writes. */

#define DIGITS "0123456789abcdef0123456789ab"

static void put_member(Core *c, const char *id, unsigned active, unsigned max, uint64_t age_msec) {
        Membership m = membership_in_store(c->manager->store);

        ASSERT_OK(m.ops->put(m.backend, &(Member) { .id = id, .hostname = "h", .active = active, .max = max,
                                                    .heartbeat_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC -
                                                                      age_msec }));
}

/* A record of another worker, of which nothing is here. */
static void put_record(Core *c, const char *last, const char *worker) {
        _cleanup_(sandbox_unrefp) Sandbox *s = NULL;
        char id[SANDBOX_ID_LENGTH + 1];

        snprintf(id, sizeof id, "%s" DIGITS, last);
        ASSERT_OK(sandbox_new(&(SandboxInit) { .id = id, .image = "test", .worker = worker, .timeout_sec = 3600,
                                               .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC }, &s));
        s->state = SANDBOX_RUNNING;
        ASSERT_OK(manager_save_sandbox(c->manager, s));
}

static unsigned status_of(Core *c, const char *method, const char *last, const char *rest) {
        char path[128];

        snprintf(path, sizeof path, "/sandbox/sandboxes/sbx_%s%.20s%s", last, DIGITS, rest);
        REQUEST(c, method, path, "{\"command\":\"true\"}", r);
        return r.status;
}

static void expect_select(Core *c, const char *method, const char *id) {
        REQUEST(c, method, "/sandbox/workers/select", NULL, r);

        if (id) {
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "workerId"), id);
        } else {
                ASSERT_EQ(r.status, 429);
                ASSERT_STREQ(reply_string(&r, "error"), "No worker capacity available");
        }
}

TEST(list_and_select) {
        _cleanup_(core_stop) Core c = { .max_sandboxes = 2 };
        char id[40];

        core_start(&c);
        {
                REQUEST(&c, "GET", "/sandbox/workers", NULL, r);
                json_t *own = json_array_get(json_object_get(r.json, "workers"), 0);

                ASSERT_EQ(reply_integer(&r, "alive"), 1);
                ASSERT_EQ(reply_integer(&r, "dead"), 0);
                ASSERT_STREQ(json_string_value(json_object_get(own, "workerId")), "worker");
                ASSERT_EQ(json_integer_value(json_object_get(own, "maxSandboxes")), 2);
                ASSERT_EQ(json_integer_value(json_object_get(own, "activeSandboxes")), 0);
        }
        core_create(&c, id);
        expect_select(&c, "GET", "worker");
        put_member(&c, "roomy", 1, 10, 0);
        put_member(&c, "gone", 0, 10, WORKER_DEAD_MSEC + 1000);
        put_member(&c, "endless", 0, 0, 0);
        expect_select(&c, "POST", "roomy");
        put_member(&c, "roomy", 10, 10, 0);
        expect_select(&c, "POST", "worker");
        core_create(&c, id);
        expect_select(&c, "POST", "endless");
        put_member(&c, "endless", 7, 7, 0);
        expect_select(&c, "POST", NULL);
        {
                REQUEST(&c, "POST", "/sandbox/admin/workers/heartbeat", NULL, r);
                ASSERT_EQ(reply_integer(&r, "activeSandboxes"), 2);
        }
        REQUEST(&c, "GET", "/sandbox/admin/workers", NULL, r);
        ASSERT_EQ(reply_integer(&r, "alive"), 3);
        ASSERT_EQ(reply_integer(&r, "dead"), 1);
}

TEST(reap) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[80];

        core_start(&c);
        core_create(&c, id);
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s", id);
        put_member(&c, "dead", 2, 50, WORKER_DEAD_MSEC + 1000);
        put_member(&c, "alive", 1, 50, 0);
        put_record(&c, "aaaa", "dead");
        put_record(&c, "bbbb", "alive");
        put_record(&c, "cccc", "unheard");
        {
                Sandbox *s = manager_find_sandbox(c.manager, id);

                ASSERT_OK(free_and_strdup(&s->worker, "dead"));
                ASSERT_OK(manager_save_sandbox(c.manager, s));
        }
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        {
                REQUEST(&c, "GET", path, NULL, r);
                ASSERT_STREQ(reply_string(&r, "workerId"), "dead");
        }
        ASSERT_EQ(status_of(&c, "GET", "aaaa", ""), 200);
        ASSERT_EQ(status_of(&c, "POST", "aaaa", "/exec"), 409);
        {
                REQUEST(&c, "POST", "/sandbox/workers/reap", NULL, r);
                ASSERT_EQ(reply_integer(&r, "reaped"), 1);
                ASSERT_EQ(reply_integer(&r, "reassigned"), 1);
                ASSERT_EQ(reply_integer(&r, "expired"), 1);
        }
        ASSERT_EQ(status_of(&c, "GET", "aaaa", ""), 404);
        ASSERT_EQ(status_of(&c, "GET", "bbbb", ""), 200);
        ASSERT_EQ(status_of(&c, "GET", "cccc", ""), 200);
        {
                REQUEST(&c, "GET", path, NULL, r);
                ASSERT_STREQ(reply_string(&r, "workerId"), "worker");
                ASSERT_STREQ(reply_string(&r, "status"), "running");
        }
        {
                REQUEST(&c, "POST", "/sandbox/admin/workers/reap", NULL, r);
                ASSERT_EQ(reply_integer(&r, "reaped"), 0);
        }
        ASSERT_EQ(status_of(&c, "DELETE", "bbbb", ""), 200);
        ASSERT_EQ(status_of(&c, "GET", "bbbb", ""), 404);
}

TEST(migrate) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[80];
        Sandbox *s;

        core_start(&c);
        core_create(&c, id);
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s", id);
        s = manager_find_sandbox(c.manager, id);
        s->worker = mfree(s->worker);
        ASSERT_OK(manager_save_sandbox(c.manager, s));
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        for (int n = 1; n >= 0; n--) {
                REQUEST(&c, "POST", "/sandbox/workers/migrate", NULL, r);
                ASSERT_EQ(reply_integer(&r, "migrated"), n);
        }
        REQUEST(&c, "GET", path, NULL, r);
        ASSERT_STREQ(reply_string(&r, "workerId"), "worker");
}
