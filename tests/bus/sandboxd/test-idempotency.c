/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

#define CREATE "/sandbox/sandboxes"
#define BODY "{\"image\":\"test\",\"name\":\"a\"}"

static void open_with_key(Core *c, Client *client, const char *path, const char *key, const char *body) {
        char headers[512];

        snprintf(headers, sizeof headers, "Content-Type: application/json\r\nIdempotency-Key: %s\r\n", key);
        client_open_raw(c, client, "POST", path, headers, body, strlen(body));
}

static void post(Core *c, const char *path, const char *key, const char *body, Reply *ret) {
        Client client;

        open_with_key(c, &client, path, key, body);
        client_wait(&client, ret);
}

#define POST(c, path, key, body, reply)                                                            \
        _cleanup_(reply_done) Reply reply = {};                                                    \
        post(c, path, key, body, &reply)

static bool is_replayed(const Reply *r) {
        return strcasestr(r->head, "Idempotency-Replayed: true");
}

static uint64_t remembered(Core *c) {
        uint64_t n;

        ASSERT_OK(store_count_objects(c->manager->store, IDEMPOTENCY_KIND, NULL, NULL, &n));
        return n;
}

TEST(replies_are_repeated) {
        _cleanup_(core_stop) Core c = {};
        char path[128];

        core_start(&c);
        POST(&c, CREATE, "k1", BODY, first);
        ASSERT_EQ(first.status, 200);
        ASSERT_FALSE(is_replayed(&first));
        for (unsigned i = 0; i < 2; i++) {
                POST(&c, CREATE, "k1", "{\"name\":\"a\", \"image\":\"test\"}", again); /* the same, said otherwise */

                ASSERT_EQ(again.status, 200);
                ASSERT_STREQ(again.body, first.body);
                ASSERT_TRUE(is_replayed(&again));
                core_stop_sandboxd(&c);
                core_start_sandboxd(&c);
        }
        ASSERT_EQ(c.execd.n_sandboxes, 1);
        {
                POST(&c, CREATE, "k1", "{\"image\":\"test\",\"name\":\"b\"}", other);
                ASSERT_EQ(other.status, 422);
        }
        {
                POST(&c, CREATE, "k2", BODY, other);
                ASSERT_EQ(other.status, 200);
        }
        ASSERT_EQ(c.execd.n_sandboxes, 2);

        /* A key is good for one path. */
        snprintf(path, sizeof path, CREATE "/%s/exec/background", reply_string(&first, "id"));
        {
                POST(&c, path, "k1", "{\"command\":\"true\"}", a);
                POST(&c, path, "k1", "{\"command\":\"true\"}", b);
                ASSERT_EQ(a.status, 200);
                ASSERT_STREQ(reply_string(&a, "id"), reply_string(&b, "id"));
                ASSERT_EQ(c.execd.n_execs, 1);
        }
        snprintf(path, sizeof path, CREATE "/%s/exec/queue", reply_string(&first, "id"));
        {
                POST(&c, path, "k1", "{\"command\":\"true\"}", a);
                POST(&c, path, "k1", "{\"command\":\"true\"}", b);
                ASSERT_STREQ(reply_string(&a, "id"), reply_string(&b, "id"));
                ASSERT_STREQ(reply_string(&b, "status"), "pending");
        }
        { /* where nothing is made the header means nothing */
                snprintf(path, sizeof path, CREATE "/%s/exec", reply_string(&first, "id"));
                POST(&c, path, "k1", "{\"command\":\"true\"}", a);
                POST(&c, path, "k1", "{\"command\":\"true\"}", b);
                ASSERT_FALSE(is_replayed(&b));
        }
}

TEST(what_is_made_at_once_is_made_once) {
        static const struct {
                const char *path, *body, *kind;
        } routes[] = {
                { "/sandbox/templates", "{\"name\":\"t\",\"config\":{\"image\":\"test\"}}", "template" },
                { "/sandbox/events/publish", "{\"topic\":\"a\",\"sandboxId\":\"b\"}", NULL },
                { "%s/alerts", "{\"metric\":\"cpu\",\"threshold\":90}", "alert" },
        };
        _cleanup_(core_stop) Core c = {};
        char sandbox[96], path[128];
        uint64_t n;

        core_start(&c);
        {
                POST(&c, CREATE, "k", BODY, r);
                snprintf(sandbox, sizeof sandbox, CREATE "/%s", reply_string(&r, "id"));
        }
        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                if (routes[i].path[0] == '%')
                        snprintf(path, sizeof path, "%s/alerts", sandbox);
                else
                        snprintf(path, sizeof path, "%s", routes[i].path);
                POST(&c, path, "k", routes[i].body, first);
                POST(&c, path, "k", routes[i].body, again);
                ASSERT_EQ(first.status, 200);
                ASSERT_STREQ(first.body, again.body);
                ASSERT_TRUE(is_replayed(&again));
                if (!routes[i].kind)
                        continue;
                ASSERT_OK(store_count_objects(c.manager->store, routes[i].kind, NULL, NULL, &n));
                ASSERT_EQ(n, 1U);
        }
}

TEST(keys) {
        char longest[IDEMPOTENCY_KEY_MAX + 2];
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        memset(longest, 'x', sizeof longest);
        longest[IDEMPOTENCY_KEY_MAX + 1] = 0;
        {
                POST(&c, CREATE, longest, BODY, r);
                ASSERT_EQ(r.status, 400);
        }
        longest[IDEMPOTENCY_KEY_MAX] = 0;
        {
                POST(&c, CREATE, longest, BODY, r);
                ASSERT_EQ(r.status, 200);
        }
        {
                POST(&c, CREATE, "a b", BODY, r);
                ASSERT_EQ(r.status, 400);
        }
        {
                POST(&c, CREATE, "", BODY, r);
                ASSERT_EQ(r.status, 400);
        }
        ASSERT_EQ(c.execd.n_sandboxes, 1);
}

/* What made nothing is not remembered. */
TEST(refusals_are_not) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        {
                POST(&c, CREATE, "k", "{}", r);
                ASSERT_EQ(r.status, 400);
        }
        c.execd.fail_method = "Create";
        c.execd.fail_name = "io.sandboxd.Error.NoSpace";
        {
                POST(&c, CREATE, "k", BODY, r);
                ASSERT_EQ(r.status, 507);
        }
        ASSERT_EQ(remembered(&c), 0);
        {
                POST(&c, CREATE, "k", BODY, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_FALSE(is_replayed(&r));
        }
        ASSERT_EQ(c.execd.n_sandboxes, 1);
        ASSERT_EQ(remembered(&c), 1);
}

TEST(many_at_once) {
        _cleanup_(core_stop) Core c = {};
        Client clients[20];
        unsigned made = 0, busy = 0;

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                open_with_key(&c, clients + i, CREATE, "k", BODY);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                _cleanup_(reply_done) Reply r = {};

                client_wait(clients + i, &r);
                made += r.status == 200;
                busy += r.status == 409;
                if (r.status == 409)
                        ASSERT_NOT_NULL(strcasestr(r.head, "Retry-After: 1"));
        }
        ASSERT_EQ(made + busy, ELEMENTSOF(clients));
        assert_true(made >= 1);
        ASSERT_EQ(c.execd.n_sandboxes, 1);
}

static bool has_sandbox(Core *c, void *userdata) {
        (void) userdata;
        return c->execd.n_sandboxes > 0 && c->manager->n_attended == 0;
}

static bool was_asked(Core *c, void *userdata) {
        (void) userdata;
        return c->execd.n_reserved > 0;
}

/* Nobody ever got the reply; the sandbox is found by its key, also by our next process. */
TEST(client_goes_away) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        for (unsigned restart = 0; restart < 2; restart++) {
                const char *key = restart ? "k1" : "k0";
                Client client;
                size_t before = c.execd.n_sandboxes;

                open_with_key(&c, &client, CREATE, key, BODY);
                core_wait(&c, was_asked, NULL);
                client_close(&client);
                c.execd.n_reserved = 0;
                while (c.execd.n_sandboxes == before || !has_sandbox(&c, NULL))
                        ASSERT_OK(sd_event_run(service_event(c.service), 1000));
                if (restart) {
                        core_stop_sandboxd(&c);
                        core_start_sandboxd(&c);
                }
                POST(&c, CREATE, key, BODY, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(is_replayed(&r));
                ASSERT_EQ(c.execd.n_sandboxes, before + 1);
        }
}

/* We die in the middle: what was half made is ended, and the repetition makes it anew. */
TEST(we_die_in_between) {
        static const char *const points[] = { "Reserve", "Create" };
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(points); i++) {
                Client client;

                c.execd.cut_after = points[i];
                open_with_key(&c, &client, CREATE, points[i], BODY);
                while (c.execd.cut_after)
                        ASSERT_OK(sd_event_run(service_event(c.service), 1000));
                core_stop_sandboxd(&c);
                client_close(&client);
                core_start_sandboxd(&c);
                POST(&c, CREATE, points[i], BODY, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(c.execd.n_sandboxes, i + 1);
        }
}
