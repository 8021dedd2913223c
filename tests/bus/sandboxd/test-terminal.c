/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* sandboxd's half of a terminal, at an execd that makes real ones. */

static const char *path(const char *id, const char *rest, const char *terminal, const char *more) {
        static char text[4][256];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s/terminals%s%s%s", id, rest, terminal, more);
        return text[i];
}

static bool nothing_runs(Core *c, void *userdata) {
        (void) userdata;
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (c->execd.commands[i].used)
                        return false;
        return c->manager->n_attended == 0;
}

static void open_terminal(Core *c, const char *id, const char *script, char ret[40]) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s, s:i, s:i}", "command", script, "rows", 30, "cols", 90);
        _cleanup_free_ char *text = json_dumps(body, 0);
        REQUEST(c, "POST", path(id, "", "", ""), text, r);

        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(reply_integer(&r, "rows"), 30);
        ASSERT_STREQ(reply_string(&r, "status"), "running");
        ASSERT_NOT_NULL(startswith(reply_string(&r, "id"), "term_"));
        strcpy(ret, reply_string(&r, "id"));
}

static void type(Core *c, const char *id, const char *terminal, const char *keys) {
        Client client;
        Reply r;

        client_open_raw(c, &client, "POST", path(id, "/", terminal, "/input"),
                        "Content-Type: application/octet-stream\r\n", keys, strlen(keys));
        client_wait(&client, &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(reply_integer(&r, "written"), strlen(keys));
        reply_done(&r);
}

TEST(size_keys_status) {
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[40];
        Client stream;
        Reply r;

        core_start(&c);
        core_create(&c, id);
        open_terminal(&c, id, "stty -echo; stty size; read x; echo got $x; stty size; read y; exit 7", terminal);
        client_open(&c, &stream, "GET", path(id, "/", terminal, "/stream?offset=0"), NULL);
        client_wait_text(&stream, "30 90");
        {
                REQUEST(&c, "POST", path(id, "/", terminal, "/resize"), "{\"rows\":31,\"cols\":91}", resized);
                ASSERT_EQ(resized.status, 200);
        }
        type(&c, id, terminal, "word\r");
        client_wait_text(&stream, "got word");
        client_wait_text(&stream, "31 91");
        type(&c, id, terminal, "\r");
        client_wait(&stream, &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_NOT_NULL(strstr(r.head, "X-Terminal-Offset: 0\r\n"));
        ASSERT_STREQ(r.body, "30 90\r\ngot word\r\n31 91\r\n");
        reply_done(&r);

        {
                REQUEST(&c, "GET", path(id, "/", terminal, ""), NULL, ended);
                ASSERT_STREQ(reply_string(&ended, "status"), "exited");
                ASSERT_EQ(reply_integer(&ended, "exitCode"), 7);
                ASSERT_EQ(reply_integer(&ended, "cols"), 91);
        }
        {
                REQUEST(&c, "POST", path(id, "/", terminal, "/resize"), "{\"rows\":1,\"cols\":1}", late);
                ASSERT_EQ(late.status, 409);
        }
        {
                REQUEST(&c, "GET", path(id, "/", terminal, "/stream?tail=7"), NULL, replay);
                ASSERT_STREQ(replay.body, "31 91\r\n");
        }
        core_wait(&c, nothing_runs, NULL);
}

TEST(refusals) {
        static const struct {
                const char *method, *rest, *body;
                unsigned status;
        } rows[] = {
                { "POST",   "",                            "{\"rows\":0}",                  400 },
                { "POST",   "",                            "{\"cols\":65536}",              400 },
                { "POST",   "",                            "{\"rows\":-1,\"cols\":80}",     400 },
                { "POST",   "",                            "{\"rows\":\"x\"}",              400 },
                { "POST",   "",                            "{\"command\":[]}",              400 },
                { "GET",    "/term_000000000000000000000000", NULL,                         404 },
                { "GET",    "/term_000000000000000000000000/stream", NULL,                  404 },
                { "DELETE", "/term_000000000000000000000000", NULL,                         404 },
                { "POST",   "/term_000000000000000000000000/input", "x",                    404 },
                { "POST",   "/T/resize",                   "{}",                            400 },
                { "POST",   "/T/resize",                   "{\"rows\":0,\"cols\":0}",       400 },
                { "POST",   "/T/resize",                   "{\"rows\":24,\"cols\":65536}",  400 },
                { "POST",   "/T/resize",                   "{\"rows\":-1,\"cols\":-1}",     400 },
                { "GET",    "/T/stream?offset=x",          NULL,                            400 },
                { "GET",    "/T/stream?holder=0123456789012345678901234567890123", NULL,    400 },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[40];

        core_start(&c);
        core_create(&c, id);
        open_terminal(&c, id, "cat", terminal);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                bool ours = startswith(rows[i].rest, "/T");
                REQUEST(&c, rows[i].method, path(id, ours ? "/" : rows[i].rest, ours ? terminal : "",
                                                 ours ? rows[i].rest + 2 : ""), rows[i].body, r);

                if (r.status != rows[i].status)
                        print_error("row %zu: %u %s\n", i, r.status, r.body);
                ASSERT_EQ(r.status, rows[i].status);
        }
        {
                REQUEST(&c, "DELETE", path(id, "/", terminal, ""), NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "closed"), terminal);
        }
        core_wait(&c, nothing_runs, NULL);
}

TEST(limit) {
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[3][40];

        core_start(&c);
        c.manager->settings.terminals_max = 2;
        core_create(&c, id);
        open_terminal(&c, id, "cat", terminal[0]);
        open_terminal(&c, id, "trap '' HUP; while :; do read x; done", terminal[1]);
        {
                REQUEST(&c, "POST", path(id, "", "", ""), "{}", r);
                ASSERT_EQ(r.status, 429);
        }
        /* Also one that does not mind a hang-up. */
        for (unsigned i = 0; i < 2; i++) {
                REQUEST(&c, "DELETE", path(id, "/", terminal[i], ""), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        core_wait(&c, nothing_runs, NULL);
        open_terminal(&c, id, "true", terminal[2]);
        core_wait(&c, nothing_runs, NULL);
        {
                REQUEST(&c, "GET", path(id, "", "", ""), NULL, r);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "terminals")), 1);
        }
}

TEST(take_over) {
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[40];
        Client first, second;
        Reply r;

        core_start(&c);
        core_create(&c, id);
        open_terminal(&c, id, "stty -echo; echo ready; while read x; do echo $x; done", terminal);
        client_open(&c, &first, "GET", path(id, "/", terminal, "/stream?holder=a"), NULL);
        client_wait_text(&first, "ready");
        client_open(&c, &second, "GET", path(id, "/", terminal, "/stream?holder=b&offset=2"), NULL);
        client_wait(&first, &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(r.body, "ready\r\n");
        reply_done(&r);
        client_wait_text(&second, "ady");
        {
                REQUEST(&c, "GET", path(id, "/", terminal, ""), NULL, shown);
                ASSERT_STREQ(reply_string(&shown, "holder"), "b");
                ASSERT_TRUE(json_is_true(json_object_get(shown.json, "attached")));
        }
        {
                REQUEST(&c, "GET", path(id, "/", terminal, "/stream?holder=a&resume=1&offset=7"), NULL, refused);
                ASSERT_EQ(refused.status, 409);
        }
        type(&c, id, terminal, "x\r");
        client_wait_text(&second, "x");
        client_close(&second);
        client_open(&c, &second, "GET", path(id, "/", terminal, "/stream?holder=b&resume=1&offset=7"), NULL);
        client_wait_text(&second, "x");
        client_close(&second);
        {
                REQUEST(&c, "DELETE", path(id, "/", terminal, ""), NULL, deleted);
                ASSERT_EQ(deleted.status, 200);
        }
        core_wait(&c, nothing_runs, NULL);
}

/* What it shows while nobody is there is shown later, also what it says last. */
TEST(survives_sandboxd) {
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[40];
        Client stream;
        Reply r;

        core_start(&c);
        core_create(&c, id);
        open_terminal(&c, id, "stty -echo; echo one; read x; echo two; sleep 0.2; echo three; exit 5", terminal);
        client_open(&c, &stream, "GET", path(id, "/", terminal, "/stream"), NULL);
        client_wait_text(&stream, "one");
        client_close(&stream);
        type(&c, id, terminal, "\r");
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        client_open(&c, &stream, "GET", path(id, "/", terminal, "/stream?offset=5"), NULL);
        client_wait(&stream, &r);
        ASSERT_STREQ(r.body, "two\r\nthree\r\n");
        reply_done(&r);
        {
                REQUEST(&c, "GET", path(id, "/", terminal, ""), NULL, ended);
                ASSERT_EQ(reply_integer(&ended, "exitCode"), 5);
        }
        core_wait(&c, nothing_runs, NULL);
}

/* Keys and a size that come before its master does. */
TEST(not_taken_yet) {
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[40];

        core_start(&c);
        core_create(&c, id);
        open_terminal(&c, id, "stty -echo; read x; echo $x; stty size", terminal);
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        ASSERT_FALSE(manager_find_command(c.manager, terminal)->taken);
        {
                REQUEST(&c, "POST", path(id, "/", terminal, "/resize"), "{\"rows\":11,\"cols\":22}", r);
                ASSERT_EQ(r.status, 200);
        }
        type(&c, id, terminal, "typed\r");
        {
                REQUEST(&c, "GET", path(id, "/", terminal, "/stream?offset=0"), NULL, shown);
                ASSERT_NOT_NULL(strstr(shown.body, "typed\r\n11 22\r\n"));
        }
        core_wait(&c, nothing_runs, NULL);
}

/* The connection to execd breaks at each method that a terminal needs. */
TEST(survives_execd) {
        static const char *const methods[] = { "Exec", "Attach" };
        _cleanup_(core_stop) Core c = {};
        char id[40], terminal[40];

        core_start(&c);
        core_create(&c, id);
        for (unsigned i = 0; i < 4; i++) {
                *(i % 2 ? &c.execd.cut_after : &c.execd.cut_before) = methods[i / 2];
                open_terminal(&c, id, "echo here; exit 3", terminal);
                {
                        REQUEST(&c, "GET", path(id, "/", terminal, "/stream?offset=0"), NULL, shown);
                        ASSERT_STREQ(shown.body, "here\r\n");
                }
                {
                        REQUEST(&c, "GET", path(id, "/", terminal, ""), NULL, ended);
                        ASSERT_EQ(reply_integer(&ended, "exitCode"), 3);
                }
                core_wait(&c, nothing_runs, NULL);
        }
}
