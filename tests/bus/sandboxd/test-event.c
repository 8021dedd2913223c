/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/event.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

static const char *path(const char *format, const char *id) {
        static char text[4][160];
        static unsigned i;

        i = (i + 1) % 4;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text[i], sizeof text[i], format, id);
#pragma GCC diagnostic pop
        return text[i];
}

/* "a b c ", oldest first. */
static void topics_of(Core *c, const char *id, char ret[512]) {
        REQUEST(c, "GET", path("/sandbox/events/history?limit=100&sandboxId=%s", id), NULL, r);
        json_t *events = json_object_get(r.json, "events");

        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(reply_integer(&r, "total"), (json_int_t) json_array_size(events));
        ret[0] = 0;
        for (size_t i = json_array_size(events); i > 0; i--) {
                const char *topic = json_string_value(json_object_get(json_array_get(events, i - 1), "topic"));

                snprintf(ret + strlen(ret), 512 - strlen(ret), "%s ", topic + strlen("sandbox."));
        }
}

#define ASSERT_TOPICS(c, id, expected)                                                             \
        do {                                                                                       \
                char _topics[512];                                                                 \
                topics_of(c, id, _topics);                                                         \
                ASSERT_STREQ(_topics, expected);                                                   \
        } while (false)

static void post(Core *c, const char *where, const char *body) {
        REQUEST(c, "POST", where, body, r);

        if (r.status != 200)
                print_error("%s: %s\n", where, r.body);
        ASSERT_EQ(r.status, 200);
}

TEST(every_cause_is_told) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        post(&c, path("/sandbox/sandboxes/%s/exec", id), "{\"command\":\"exit 3\"}");
        post(&c, path("/sandbox/sandboxes/%s/pause", id), NULL);
        post(&c, path("/sandbox/sandboxes/%s/resume", id), NULL);
        post(&c, path("/sandbox/sandboxes/%s/renew", id), "{\"expiresAt\":9000000000000}");
        post(&c, path("/sandbox/sandboxes/%s/limits", id), "{\"memory\":128}");
        {
                REQUEST(&c, "DELETE", path("/sandbox/sandboxes/%s", id), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        ASSERT_TOPICS(&c, id, "created exec paused resumed renewed limited killed ");
        {
                REQUEST(&c, "GET", path("/sandbox/events/history?topic=sandbox.exec&sandboxId=%s", id), NULL, r);
                json_t *data = json_object_get(json_array_get(json_object_get(r.json, "events"), 0), "data");

                ASSERT_STREQ(json_string_value(json_object_get(data, "command")), "exit 3");
                ASSERT_EQ(json_integer_value(json_object_get(data, "exitCode")), 3);
                ASSERT_TRUE(json_integer_value(json_object_get(data, "duration")) >= 1);
        }
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"unknown\"}", failed);
                REQUEST(&c, "GET", "/sandbox/events/history?topic=sandbox.error", NULL, r);

                ASSERT_EQ(failed.status, 400);
                ASSERT_EQ(reply_integer(&r, "total"), 1);
                ASSERT_NOT_NULL(strstr(r.body, "\"image\":\"unknown\""));
        }
        core_create(&c, id);
        fake_execd_gone(&c.execd, c.execd.sandboxes[0].id, "oom");
        for (unsigned i = 0; i < 100; i++)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        ASSERT_TOPICS(&c, id, "created error ");
}

/* What sandboxd misses is told when it comes back, and only once. */
TEST(ends_without_us_are_told_once) {
        _cleanup_(core_stop) Core c = {};
        char expired[40], lost[40];
        Sandbox *s;

        core_start(&c);
        core_create(&c, expired);
        core_create(&c, lost);
        s = manager_find_sandbox(c.manager, expired);
        sandbox_set_expiry(s, now_usec(CLOCK_REALTIME) / USEC_PER_MSEC - 1000);
        ASSERT_OK(manager_save_sandbox(c.manager, s));
        core_stop_sandboxd(&c);
        while (c.execd.n_sandboxes > 0)
                free(c.execd.sandboxes[--c.execd.n_sandboxes].label);
        for (unsigned i = 0; i < 3; i++) {
                core_start_sandboxd(&c);
                ASSERT_TOPICS(&c, expired, "created expired ");
                ASSERT_TOPICS(&c, lost, "created error ");
                core_stop_sandboxd(&c);
        }
}

/* The record was written, the daemon killed before the event was: as it is when the event is taken away again. */
TEST(births_are_made_up_after_a_kill) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        event_hub_flush(c.manager->events);
        ASSERT_OK(store_remove_objects_of(c.manager->store, EVENT_KIND, id));
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c); /* after an orderly end nobody looks */
        ASSERT_TOPICS(&c, id, "");
        core_stop_sandboxd(&c);
        for (unsigned i = 0; i < 2; i++) {
                Store *store;
                bool fresh;

                ASSERT_OK(store_open(c.state, &fresh, &store));
                ASSERT_OK(store_set_number(store, "events_open", 1));
                store_close(store);
                core_start_sandboxd(&c);
                ASSERT_TOPICS(&c, id, "created ");
                core_stop_sandboxd(&c);
        }
}

TEST(publish_and_history) {
        static const struct {
                const char *body;
                unsigned status;
        } cases[] = {
                { "{\"topic\":\"a\",\"sandboxId\":\"none\",\"data\":null}", 200 },
                { "{\"topic\":\"a\",\"sandboxId\":\"none\",\"data\":{\"x\":1}}", 200 },
                { "{\"topic\":\"b\",\"sandboxId\":\"none\"}", 200 },
                { "{\"topic\":\"b c\",\"sandboxId\":\"none\"}", 400 },
                { "{\"topic\":\"\",\"sandboxId\":\"none\"}", 400 },
                { "{\"topic\":\"b\"}", 400 },
                { "{\"sandboxId\":\"none\"}", 400 },
                { "{\"topic\":\"b\",\"sandboxId\":\"none\",\"data\":[]}", 400 },
                { "{\"topic\":\"b\",\"sandboxId\":7}", 400 },
        };
        _cleanup_(core_stop) Core c = {};
        char first[40] = "";

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, "POST", "/sandbox/events/publish", cases[i].body, r);

                ASSERT_EQ(r.status, cases[i].status);
                if (i == 0) {
                        snprintf(first, sizeof first, "%s", reply_string(&r, "id"));
                        ASSERT_NOT_NULL(strstr(r.body, "\"data\":{}"));
                }
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?topic=a&limit=1&offset=1", NULL, r);
                json_t *events = json_object_get(r.json, "events");

                ASSERT_EQ(reply_integer(&r, "total"), 2);
                ASSERT_EQ(json_array_size(events), 1U);
                ASSERT_STREQ(json_string_value(json_object_get(json_array_get(events, 0), "id")), first);
        }
        {
                REQUEST(&c, "GET", path("/sandbox/events/history?before=%s", first), NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "events")), 0U);
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?before=evt_x", NULL, r);
                ASSERT_EQ(r.status, 400);
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?since=1&until=9000000000000", NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "events")), 3U);
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?since=9000000000000", NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "events")), 0U);
        }
        {
                REQUEST(&c, "GET", "/sandbox/events/history?until=1", NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "events")), 0U);
        }
}

static void open_stream(Core *c, Client *client, const char *query, const char *header) {
        client_open_raw(c, client, "GET", path("/sandbox/stream/events%s", query), header, "", 0);
        client_wait_text(client, "\r\n\r\n");
}

/* To the byte, and ids for those who know of them only. */
TEST(stream_of_events) {
        _cleanup_(core_stop) Core c = {};
        Client plain, all, late;
        char frame[256];

        core_start(&c);
        open_stream(&c, &plain, "?topic=t", "");
        open_stream(&c, &all, "?topic=*&ids=1", "");
        ASSERT_NOT_NULL(strcasestr(plain.data, "Content-Type: text/event-stream\r\n"));
        ASSERT_NOT_NULL(strcasestr(plain.data, "Cache-Control: no-cache\r\n"));
        post(&c, "/sandbox/events/publish", "{\"topic\":\"u\",\"sandboxId\":\"s\",\"data\":{\"a\":\"\\n\"}}");
        {
                REQUEST(&c, "POST", "/sandbox/events/publish", "{\"topic\":\"t\",\"sandboxId\":\"s\"}", r);
                snprintf(frame, sizeof frame, "data: {\"id\":\"%s\",\"topic\":\"t\",\"sandboxId\":\"s\",\"data\":{},"
                                              "\"timestamp\":%lld}\n\n", reply_string(&r, "id"),
                         (long long) reply_integer(&r, "timestamp"));
        }
        client_wait_text(&plain, frame);
        ASSERT_TRUE(!strstr(plain.data, "id: ") && !strstr(plain.data, "\"u\""));
        client_wait_text(&all, frame);
        ASSERT_NOT_NULL(strstr(all.data, "\nid: 1\ndata: {\"id\":\"evt_"));
        ASSERT_NOT_NULL(strstr(all.data, "\"data\":{\"a\":\"\\n\"}"));

        /* Ends of lines to some clients: from the ring, and from the database. */
        post(&c, "/sandbox/events/publish", "{\"topic\":\"v\",\"sandboxId\":\"\xe2\x80\xa9\","
                                            "\"data\":{\"a\":\"\xc2\x85\xc3\xa9\xe2\x80\xa8\"}}");
        client_wait_text(&all, "\"sandboxId\":\"\\u2029\",\"data\":{\"a\":\"\\u0085\xc3\xa9\\u2028\"},\"timestamp\":");
        open_stream(&c, &late, "?topic=v", "Last-Event-ID: 1\r\n");
        client_wait_text(&late, "\"data\":{\"a\":\"\\u0085\xc3\xa9\\u2028\"},\"timestamp\":");
        client_close(&late);

        open_stream(&c, &late, "?topic=*", "Last-Event-ID: 1\r\n");
        client_wait_text(&late, frame);
        ASSERT_TRUE(!strstr(late.data, "\"u\"") && strstr(late.data, "id: 2\n"));
        client_close(&plain);
        client_close(&all);
        client_close(&late);
        {
                REQUEST(&c, "GET", "/sandbox/health", NULL, r);
                ASSERT_EQ(r.status, 200);
        }
}

static void run_to_end(Core *c, const char *id, const char *command) {
        char body[256], bg[64];
        bool running = true;

        snprintf(body, sizeof body, "{\"command\":\"%s\"}", command);
        {
                REQUEST(c, "POST", path("/sandbox/sandboxes/%s/exec/background", id), body, r);
                ASSERT_EQ(r.status, 200);
                snprintf(bg, sizeof bg, "%s", reply_string(&r, "id"));
        }
        while (running) {
                REQUEST(c, "GET", path("/sandbox/exec/background/%s/status", bg), NULL, r);
                running = json_is_true(json_object_get(r.json, "running"));
        }
}

/* "2026-01-31T12:00:00.000Z " and then the line. */
static void assert_line(const char *data, const char *line) {
        const char *time = strstr(data, line);

        ASSERT_NOT_NULL(time);
        ASSERT_TRUE(time - data > 25);
        ASSERT_EQ(time[-1], ' ');
        ASSERT_EQ(time[-2], 'Z');
        ASSERT_EQ(time[-15], 'T');
}

TEST(stream_of_logs) {
        _cleanup_(core_stop) Core c = {};
        Client follower;
        char id[40];

        core_start(&c);
        core_create(&c, id);
        run_to_end(&c, id, "printf 'one\\\\ntwo\\\\n'");
        run_to_end(&c, id, "printf 'three\\\\nfour'");
        {
                REQUEST(&c, "GET", path("/sandbox/sandboxes/%s/stream/logs?follow=false&tail=3", id), NULL, r);

                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(!strstr(r.body, "one"));
                assert_line(r.body, "two\"");
                assert_line(r.body, "three\"");
                assert_line(r.body, "four\"");
                ASSERT_TRUE(strstr(r.body, "two") < strstr(r.body, "three"));
                ASSERT_NOT_NULL(startswith(r.body, "data: {\"type\":\"stdout\",\"data\":\""));
                ASSERT_NOT_NULL(strstr(r.body, "}\n\ndata: {\"type\":\"end\",\"data\":\"\",\"timestamp\":"));
        }
        {
                REQUEST(&c, "GET", path("/sandbox/sandboxes/%s/stream/logs?follow=false&tail=0", id), NULL, r);
                ASSERT_NOT_NULL(startswith(r.body, "data: {\"type\":\"end\""));
        }
        {
                REQUEST(&c, "GET", path("/sandbox/sandboxes/%s/stream/logs?follow=false&tail=1&binary=1", id), NULL, r);
                ASSERT_NOT_NULL(strstr(r.body, "\"encoding\":\"base64\",\"data\":\"Zm91cg==\""));
        }
        {
                REQUEST(&c, "GET", path("/sandbox/sandboxes/%s/stream/logs", "sbx_000000000000000000000000"), NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        client_open(&c, &follower, "GET", path("/sandbox/sandboxes/%s/stream/logs?tail=1", id), NULL);
        client_wait_text(&follower, "four");
        run_to_end(&c, id, "printf 'fi'; sleep 0.1; printf 've'");
        client_wait_text(&follower, "five\"");
        {
                REQUEST(&c, "DELETE", path("/sandbox/sandboxes/%s", id), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        client_wait_text(&follower, "\"type\":\"end\"");
        client_close(&follower);
}

TEST(stream_of_metrics) {
        _cleanup_(core_stop) Core c = {};
        Client client;
        char id[40];

        core_start(&c);
        core_create(&c, id);
        client_open(&c, &client, "GET", path("/sandbox/sandboxes/%s/stream/metrics?interval=0", id), NULL);
        client_wait_text(&client, "data: {\"sandboxId\":\"sbx_");
        ASSERT_NOT_NULL(strstr(client.data, "\"cpuPercent\":"));
        {
                REQUEST(&c, "DELETE", path("/sandbox/sandboxes/%s", id), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        client_wait_text(&client, "data: {\"type\":\"error\",\"error\":\"Container stopped\",\"timestamp\":");
        client_close(&client);
}

static void clear_traces(Core *c) {
        REQUEST(c, "POST", "/sandbox/observability/clear", "{}", r);
        ASSERT_EQ(r.status, 200);
}

TEST(traces) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        clear_traces(&c);
        post(&c, path("/sandbox/sandboxes/%s/exec", id), "{\"command\":\"true\"}");
        {
                REQUEST(&c, "GET", "/sandbox/sandboxes/sbx_none", NULL, r);
                ASSERT_EQ(r.status, 404);
        }
        for (unsigned i = 0; i < 2; i++) { /* of this process, and of the one before */
                REQUEST(&c, "GET", "/sandbox/observability/traces?functionId=sandbox::exec", NULL, r);
                json_t *trace = json_array_get(json_object_get(r.json, "traces"), 0);

                ASSERT_EQ(reply_integer(&r, "total"), 1);
                ASSERT_STREQ(json_string_value(json_object_get(trace, "sandboxId")), id);
                ASSERT_STREQ(json_string_value(json_object_get(trace, "status")), "ok");
                ASSERT_TRUE(json_number_value(json_object_get(trace, "duration")) > 0);
                core_stop_sandboxd(&c);
                core_start_sandboxd(&c);
        }
        {
                REQUEST(&c, "GET", "/sandbox/observability/traces?functionId=sandbox::get", NULL, r);
                json_t *trace = json_array_get(json_object_get(r.json, "traces"), 0);

                ASSERT_STREQ(json_string_value(json_object_get(trace, "status")), "error");
                ASSERT_STREQ(json_string_value(json_object_get(trace, "error")), "Sandbox not found: sbx_none");
        }
        {
                REQUEST(&c, "GET", "/sandbox/observability/metrics", NULL, r);
                ASSERT_EQ(reply_integer(&r, "totalErrors"), 1);
                ASSERT_EQ(reply_integer(&r, "activeSandboxes"), 1);
                ASSERT_EQ(json_integer_value(json_object_get(json_object_get(r.json, "functionCounts"),
                                                             "sandbox::exec")), 1);
        }
        {
                REQUEST(&c, "POST", "/sandbox/observability/clear", "{\"before\":1}", r);
                ASSERT_EQ(reply_integer(&r, "cleared"), 0);
        }
        clear_traces(&c);
        {
                REQUEST(&c, "GET", "/sandbox/observability/traces", NULL, r);
                ASSERT_TRUE(reply_integer(&r, "total") <= 1); /* the call that cleared */
        }
}

TEST(prometheus) {
        static const struct {
                const char *query, *headers;
                bool text;
        } cases[] = {
                { "", "", false },
                { "", "Accept: application/json, text/plain, */*\r\n", false },
                { "", "Accept: text/plain\r\n", true },
                { "", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n", true },
                { "?format=prometheus", "", true },
                { "/prometheus", "", true },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40], sample[128];

        core_start(&c);
        {
                REQUEST(&c, "GET", "/sandbox/metrics/prometheus", NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_NOT_NULL(strstr(r.body, "sandboxd_sandboxes{state=\"running\"} 0\n"));
        }
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"name\":\"a\\\"\\\\\\nb\"}", r);
                snprintf(id, sizeof id, "%s", reply_string(&r, "id"));
        }
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(reply_done) Reply r = {};
                Client client;

                client_open_raw(&c, &client, "GET", path("/sandbox/metrics%s", cases[i].query), cases[i].headers, "", 0);
                client_wait(&client, &r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(!!strcasestr(r.head, "Content-Type: text/plain; version=0.0.4"), cases[i].text);
                ASSERT_EQ(!!r.json, !cases[i].text);
                if (!cases[i].text)
                        continue;
                snprintf(sample, sizeof sample, "\nsandbox_memory_bytes{sandbox=\"%s\"} ", id);
                ASSERT_NOT_NULL(strstr(r.body, sample));
                ASSERT_NOT_NULL(strstr(r.body, "name=\"a\\\"\\\\\\nb\"} 1\n"));
        }
}
