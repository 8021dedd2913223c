/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/webhook-internal.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

#define WEBHOOKS "/sandbox/webhooks"
#define URL "http://receiver.example/in?token=path-secret"

/* The id of the new one, which is all a test needs to know of it. */
static void make_hook(Core *c, const char *more, char ret[40]) {
        char body[512];

        snprintf(body, sizeof body, "{\"url\":\"" URL "\",\"secret\":\"the secret\",\"topics\":[\"test.*\"]%s}", more);
        {
                REQUEST(c, "POST", WEBHOOKS, body, r);

                if (r.status != 200)
                        print_error("%s\n", r.body);
                ASSERT_EQ(r.status, 200);
                snprintf(ret, 40, "%s", reply_string(&r, "id"));
        }
}

static void publish(Core *c, const char *topic, unsigned n) {
        char body[256];

        snprintf(body, sizeof body, "{\"topic\":\"%s\",\"sandboxId\":\"any\",\"data\":{\"n\":%u}}", topic, n);
        REQUEST(c, "POST", "/sandbox/events/publish", body, r);
        ASSERT_EQ(r.status, 200);
}

static unsigned number_of(const FakePost *p) {
        _cleanup_(json_decrefp) json_t *event = json_loads(p->body, 0, NULL);

        return (unsigned) json_integer_value(json_object_get(json_object_get(event, "data"), "n"));
}

static bool posts_are(Core *c, void *userdata) {
        return c->hook.n_posts >= *(size_t *) userdata;
}

static void wait_posts(Core *c, size_t n) {
        core_wait(c, posts_are, &n);
        ASSERT_EQ(c->hook.n_posts, n);
}

static json_int_t figure(Core *c, const char *id, const char *key) {
        char path[128];

        snprintf(path, sizeof path, WEBHOOKS "/%s", id);
        REQUEST(c, "GET", path, NULL, r);
        ASSERT_EQ(r.status, 200);
        return json_integer_value(json_object_get(r.json, key));
}

typedef struct Wanted {
        const char *id, *key;
        json_int_t value;
} Wanted;

static bool figure_is(Core *c, void *userdata) {
        const Wanted *w = userdata;

        return figure(c, w->id, w->key) == w->value;
}

#define WAIT_FIGURE(c, hook, name, n) core_wait(c, figure_is, &(Wanted) { hook, name, n })

static void kill_sandboxd(Core *c) {
        core_stop_sandboxd(c);
        core_start_sandboxd(c);
}

TEST(signature) {
        char digest[65];

        /* printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'the secret' */
        ASSERT_OK(webhook_sign("the secret", 1700000000, "{\"a\":1}", digest));
        ASSERT_STREQ(digest, "674279675a06eb6ab63bbfce0df52e3113c6874ce9d29c36ae161f3c475b222e");
}

TEST(urls) {
        static const struct {
                const char *url;
                bool expect;
        } cases[] = {
                { "http://a",               true  },
                { "HTTPS://a.example:8/x?y", true },
                { "http://[::1]:80/",       true  },
                { "http://a/@b",            true  },
                { "http://",                false },
                { "http:///x",              false },
                { "http://:80/",            false },
                { "http://user@a/",         false },
                { "http://user:word@a/",    false },
                { "http://a b/",            false },
                { "http://a/\n",            false },
                { "http://\xc3\xa4/",       false },
                { "http://a\\@b/",          false },
                { "http://a#b",             false },
                { "ftp://a",                false },
                { "file:///etc/passwd",     false },
                { "gopher://a",             false },
                { "//a",                    false },
                { "a",                      false },
                { "",                       false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (webhook_url_is_valid(cases[i].url) != cases[i].expect) {
                        print_error("'%s'\n", cases[i].url);
                        ASSERT_TRUE(false);
                }
}

TEST(in_order_and_signed) {
        _cleanup_(core_stop) Core c = {};
        char id[40], text[256], wanted[256], digest[65];

        core_start(&c);
        make_hook(&c, "", id);
        publish(&c, "other", 0);
        for (unsigned i = 0; i < 5; i++)
                publish(&c, "test.one", i);
        wait_posts(&c, 5);
        for (unsigned i = 0; i < 5; i++) {
                const FakePost *p = c.hook.posts + i;
                const char *signature = fake_post_header(p, "X-Sandbox-Signature", text);

                ASSERT_EQ(number_of(p), i);
                ASSERT_STREQ(p->url, URL);
                ASSERT_OK(webhook_sign("the secret", strtoull(signature + 2, NULL, 10), p->body, digest));
                snprintf(wanted, sizeof wanted, "t=%llu,v1=%s", strtoull(signature + 2, NULL, 10), digest);
                ASSERT_STREQ(signature, wanted);
                ASSERT_STREQ(fake_post_header(p, "X-Sandbox-Topic", text), "test.one");
                ASSERT_STREQ(fake_post_header(p, "X-Sandbox-Webhook", text), id);
                ASSERT_STREQ(fake_post_header(p, "X-Sandbox-Attempt", text), "1");
                ASSERT_NULL(strstr(p->headers, "the secret"));
        }
        WAIT_FIGURE(&c, id, "delivered", 5);
        {
                REQUEST(&c, "GET", WEBHOOKS, NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_NULL(strstr(r.body, "the secret"));
                ASSERT_NOT_NULL(strstr(r.body, id));
        }
        {
                snprintf(text, sizeof text, WEBHOOKS "/%s/deliveries?status=delivered", id);
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_EQ(reply_integer(&r, "total"), 5);
                ASSERT_NULL(strstr(r.body, "the secret"));
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?limit=100", NULL, r);
                ASSERT_NULL(strstr(r.body, "the secret"));
                ASSERT_NULL(strstr(r.body, "path-secret"));
        }
}

TEST(a_failure_is_tried_again) {
        _cleanup_(core_stop) Core c = {};
        char id[40], first[256], again[256];

        core_start(&c);
        c.manager->settings.webhook_backoff_sec = 0;
        c.hook.n_failures = 3;
        make_hook(&c, "", id);
        publish(&c, "test.one", 1);
        publish(&c, "test.one", 2);
        wait_posts(&c, 5);
        for (size_t i = 0; i < 4; i++) {
                ASSERT_EQ(number_of(c.hook.posts + i), 1);
                ASSERT_STREQ(fake_post_header(c.hook.posts + i, "X-Sandbox-Delivery", again),
                             i == 0 ? again : first);
                strcpy(first, again);
                snprintf(again, sizeof again, "%zu", i + 1);
                {
                        char attempt[256];
                        ASSERT_STREQ(fake_post_header(c.hook.posts + i, "X-Sandbox-Attempt", attempt), again);
                }
        }
        ASSERT_EQ(number_of(c.hook.posts + 4), 2);
        WAIT_FIGURE(&c, id, "delivered", 2);
        ASSERT_EQ(figure(&c, id, "dead"), 0);
}

TEST(the_pause_outlives_us) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        c.hook.n_failures = 1;
        make_hook(&c, "", id);
        c.manager->settings.webhook_backoff_sec = c.manager->settings.webhook_backoff_max_sec = 3600;
        publish(&c, "test.one", 1);
        WAIT_FIGURE(&c, id, "attempts", 1);
        ASSERT_TRUE(figure(&c, id, "nextAttemptAt") > 0);
        core_stop_sandboxd(&c);
        ASSERT_EQ(c.hook.n_posts, 1);
        core_start_sandboxd(&c);
        ASSERT_EQ(figure(&c, id, "attempts"), 1);
        ASSERT_EQ(c.hook.n_posts, 1);
}

TEST(dead_after_so_many) {
        _cleanup_(core_stop) Core c = {};
        char id[40], watcher[40], path[160];

        core_start(&c);
        c.manager->settings.webhook_backoff_sec = 0;
        c.manager->settings.webhook_attempts = 3;
        make_hook(&c, "", id);
        c.hook.status = 0;
        c.hook.error = "Connection refused";
        publish(&c, "test.one", 1);
        WAIT_FIGURE(&c, id, "dead", 1);
        ASSERT_EQ(c.hook.n_posts, 3);
        c.hook.status = 204;
        publish(&c, "test.one", 2);
        WAIT_FIGURE(&c, id, "delivered", 1);
        {
                snprintf(path, sizeof path, WEBHOOKS "/%s/deliveries?status=dead", id);
                REQUEST(&c, "GET", path, NULL, r);
                ASSERT_EQ(reply_integer(&r, "total"), 1);
                ASSERT_NOT_NULL(strstr(r.body, "\"attempts\":3"));
                ASSERT_NOT_NULL(strstr(r.body, "Connection refused"));
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?topic=webhook.failed", NULL, r);
                ASSERT_EQ(reply_integer(&r, "total"), 1);
        }
        /* One that is told of its own failures, and fails at that, is not told of that. */
        {
                REQUEST(&c, "POST", WEBHOOKS, "{\"url\":\"http://x/\",\"topics\":[\"webhook.failed\",\"test.*\"]}", r);
                snprintf(watcher, sizeof watcher, "%s", reply_string(&r, "id"));
        }
        c.hook.status = 302;
        publish(&c, "test.one", 3);
        WAIT_FIGURE(&c, watcher, "dead", 3); /* of the event, of both failures of it */
        WAIT_FIGURE(&c, id, "dead", 2);
        {
                REQUEST(&c, "GET", "/sandbox/events/history?topic=webhook.failed", NULL, r);
                ASSERT_EQ(reply_integer(&r, "total"), 3);
        }
}

TEST(at_least_once_whoever_dies) {
        _cleanup_(core_stop) Core c = {};
        char id[40], before[256], after[256];

        core_start(&c);
        c.hook.deaf_url = URL;
        make_hook(&c, "", id);
        publish(&c, "test.one", 1);
        publish(&c, "test.one", 2);
        wait_posts(&c, 1);
        c.hook.deaf_url = NULL;
        kill_sandboxd(&c);
        WAIT_FIGURE(&c, id, "delivered", 2);
        ASSERT_EQ(c.hook.n_posts, 3);
        ASSERT_EQ(number_of(c.hook.posts), 1);
        ASSERT_EQ(number_of(c.hook.posts + 1), 1);
        ASSERT_EQ(number_of(c.hook.posts + 2), 2);
        ASSERT_STREQ(fake_post_header(c.hook.posts, "X-Sandbox-Delivery", before),
                     fake_post_header(c.hook.posts + 1, "X-Sandbox-Delivery", after));

        /* The sender dies while it sends. */
        c.manager->settings.webhook_backoff_sec = 0;
        c.hook.cut = true;
        publish(&c, "test.one", 3);
        WAIT_FIGURE(&c, id, "delivered", 3);
        ASSERT_EQ(c.hook.n_posts, 5);
        ASSERT_EQ(number_of(c.hook.posts + 3), 3);
        ASSERT_EQ(number_of(c.hook.posts + 4), 3);
}

TEST(one_that_stalls_holds_no_other) {
        _cleanup_(core_stop) Core c = {};
        char stalled[40], id[40];

        core_start(&c);
        for (unsigned i = 0; i < 60; i++) {
                REQUEST(&c, "POST", WEBHOOKS, "{\"url\":\"http://stalled/\",\"topics\":[\"test.one\"]}", r);
                snprintf(stalled, sizeof stalled, "%s", reply_string(&r, "id"));
        }
        c.hook.deaf_url = "http://stalled/";
        make_hook(&c, "", id);
        for (unsigned i = 0; i < 20; i++)
                publish(&c, "test.one", i);
        WAIT_FIGURE(&c, id, "delivered", 20);
        ASSERT_EQ(c.hook.n_posts, 80);
        ASSERT_EQ(figure(&c, stalled, "delivered"), 0);
}

TEST(disabled_and_on_again) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[128];

        core_start(&c);
        make_hook(&c, ",\"enabled\":false", id);
        for (unsigned i = 0; i < 3; i++)
                publish(&c, "test.one", i);
        kill_sandboxd(&c);
        ASSERT_EQ(c.hook.n_posts, 0);
        snprintf(path, sizeof path, WEBHOOKS "/%s", id);
        {
                REQUEST(&c, "POST", path, "{\"enabled\":true,\"topics\":[\"test.one\"]}", r);
                ASSERT_EQ(r.status, 200);
                ASSERT_NULL(strstr(r.body, "the secret"));
        }
        WAIT_FIGURE(&c, id, "delivered", 3);
        {
                REQUEST(&c, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        {
                REQUEST(&c, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        publish(&c, "test.one", 4);
        kill_sandboxd(&c);
        ASSERT_EQ(c.hook.n_posts, 3);
        {
                uint64_t n;

                ASSERT_OK(store_count_objects(c.manager->store, WEBHOOK_KIND, NULL, NULL, &n));
                ASSERT_EQ(n, 0);
                ASSERT_OK(store_count_objects(c.manager->store, DELIVERY_KIND, NULL, NULL, &n));
                ASSERT_EQ(n, 0);
        }
}

static bool is_gone(Core *c, void *userdata) {
        return !webhook_find(c->manager->webhooks, userdata);
}

TEST(goes_with_its_sandbox) {
        _cleanup_(core_stop) Core c = {};
        char id[40], sandbox[40], other[40], body[256], path[128], topic[256];

        core_start(&c);
        core_create(&c, sandbox);
        core_create(&c, other);
        snprintf(body, sizeof body, "{\"url\":\"" URL "\",\"sandboxId\":\"%s\"}", sandbox);
        {
                REQUEST(&c, "POST", WEBHOOKS, body, r);
                snprintf(id, sizeof id, "%s", reply_string(&r, "id"));
                ASSERT_TRUE(strlen(reply_string(&r, "secret")) > 32);
        }
        {
                snprintf(path, sizeof path, "/sandbox/sandboxes/%s", other);
                REQUEST(&c, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        {
                snprintf(path, sizeof path, "/sandbox/sandboxes/%s", sandbox);
                REQUEST(&c, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        core_wait(&c, is_gone, id);
        ASSERT_EQ(c.hook.n_posts, 2); /* webhook.created and the end, which was told before */
        ASSERT_STREQ(fake_post_header(c.hook.posts + 1, "X-Sandbox-Topic", topic), "sandbox.killed");
}

TEST(refusals) {
        static const struct {
                const char *body;
                unsigned status;
                const char *text;
        } cases[] = {
                { "{}",                                              400, "url"       },
                { "{\"url\":\"\"}",                                  400, "url"       },
                { "{\"url\":\"ftp://x\"}",                           400, "url"       },
                { "{\"url\":\"http://u:p@x/\"}",                     400, "url"       },
                { "{\"url\":\"http://x\",\"topics\":[]}",            400, "topics"    },
                { "{\"url\":\"http://x\",\"topics\":[\"a*b\"]}",     400, "topics"    },
                { "{\"url\":\"http://x\",\"topics\":[\"\"]}",        400, "topics"    },
                { "{\"url\":\"http://x\",\"secret\":\"\"}",          400, "secret"    },
                { "{\"url\":\"http://x\",\"enabled\":\"maybe\"}",    400, "enabled"   },
                { "{\"url\":\"http://x\",\"sandboxId\":\"sbx_0\"}",  404, "sbx_0"     },
        };
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, "POST", WEBHOOKS, cases[i].body, r);

                if (r.status != cases[i].status || !strstr(r.body, cases[i].text))
                        print_error("%s: %s\n", cases[i].body, r.body);
                ASSERT_EQ(r.status, cases[i].status);
                ASSERT_NOT_NULL(strstr(r.body, cases[i].text));
        }
        c.manager->settings.webhooks_max = 0;
        {
                REQUEST(&c, "POST", WEBHOOKS, "{\"url\":\"http://x\"}", r);
                ASSERT_EQ(r.status, 429);
        }
}

TEST(test_is_answered) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[128], topic[256];

        core_start(&c);
        make_hook(&c, ",\"enabled\":false", id);
        snprintf(path, sizeof path, WEBHOOKS "/%s/test", id);
        {
                REQUEST(&c, "POST", path, "{}", r);
                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(json_is_true(json_object_get(r.json, "delivered")));
                ASSERT_EQ(reply_integer(&r, "httpStatus"), 200);
        }
        ASSERT_STREQ(fake_post_header(c.hook.posts, "X-Sandbox-Topic", topic), "webhook.test");
        c.hook.status = 0;
        c.hook.error = "The destination is not allowed";
        {
                REQUEST(&c, "POST", path, "{}", r);
                ASSERT_TRUE(json_is_false(json_object_get(r.json, "delivered")));
                ASSERT_STREQ(reply_string(&r, "error"), c.hook.error);
        }
        c.hook.cut = true;
        {
                REQUEST(&c, "POST", path, "{}", r);
                ASSERT_EQ(r.status, 503);
        }
        {
                Client client;

                c.hook.deaf_url = URL;
                client_open(&c, &client, "POST", path, "{}");
                wait_posts(&c, 4);
                client_close(&client); /* the answer, when we end, finds nobody */
        }
}

TEST(repeated_creation_is_one) {
        _cleanup_(core_stop) Core c = {};
        char ids[2][40];

        core_start(&c);
        for (size_t i = 0; i < 2; i++) {
                const char *body = "{\"url\":\"" URL "\"}";
                Client client;
                Reply r;

                client_open_raw(&c, &client, "POST", WEBHOOKS,
                                "Content-Type: application/json\r\nIdempotency-Key: k\r\n", body, strlen(body));
                client_wait(&client, &r);
                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(strlen(reply_string(&r, "secret")) > 32);
                snprintf(ids[i], sizeof ids[i], "%s", reply_string(&r, "id"));
                reply_done(&r);
        }
        ASSERT_STREQ(ids[0], ids[1]);
}
