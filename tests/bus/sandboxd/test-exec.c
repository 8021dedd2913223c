/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

static const char *path(const char *id, const char *rest) {
        static char text[4][256];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s%s", id, rest);
        return text[i];
}

static bool nothing_runs(Core *c, void *userdata) {
        (void) userdata;
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (c->execd.commands[i].used)
                        return false;
        return c->manager->n_attended == 0;
}

TEST(results) {
        static const struct {
                const char *body;
                int status;
                json_int_t code;
                const char *out, *err;
        } cases[] = {
                { "{\"command\":\"echo hello\"}",                                200, 0,   "hello\n", "" },
                { "{\"command\":\"echo bad >&2; exit 42\"}",                     200, 42,  "", "bad\n" },
                { "{\"command\":\"kill -9 $$\"}",                                200, 137, "", "" },
                { "{\"command\":[\"echo\",\"$HOME\",\"a b\"]}",                  200, 0,   "$HOME a b\n", "" },
                { "{\"command\":\"cat\",\"stdin\":\"given\"}",                   200, 0,   "given", "" },
                { "{\"command\":\"cat\"}",                                       200, 0,   "", "" },
                { "{\"command\":\"echo $A\",\"env\":{\"A\":\"x=y\"}}",           200, 0,   "x=y\n", "" },
                { "{\"command\":\"pwd\",\"cwd\":\"/tmp\"}",                      200, 0,   "/tmp\n", "" },
                { "{\"command\":\"sleep 300 & echo $?\"}",                       200, 0,   "0\n", "" },
                { "{\"command\":\"printf 'a\\\\377b'\"}",                        200, 0,   "a\xef\xbf\xbd" "b", "" },
                { "{\"command\":\"echo x >/dev/stderr\"}",                       200, 0,   "", "x\n" },
                { "{\"command\":\"printf part; sleep 30\",\"timeout\":1}",       504, 137, "part", "" },
                { "{\"command\":\"sleep 30\",\"timeout\":0}",                    504, 137, "", "" },
                { "{\"command\":\"true\",\"timeout\":null,\"cwd\":null}",        200, 0,   "", "" },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, "POST", path(id, "/exec"), cases[i].body, r);

                ASSERT_EQ(r.status, cases[i].status);
                ASSERT_EQ(reply_integer(&r, "exitCode"), cases[i].code);
                ASSERT_STREQ(reply_string(&r, "stdout"), cases[i].out);
                ASSERT_STREQ(reply_string(&r, "stderr"), cases[i].err);
                assert_true(reply_integer(&r, "duration") >= 1);
                if (cases[i].status == 504)
                        ASSERT_NOT_NULL(startswith(reply_string(&r, "error"), "Command timed out after "));
        }
        core_wait(&c, nothing_runs, NULL);
}

TEST(refusals) {
        static const struct {
                const char *body, *text;
        } cases[] = {
                { "{}",                                        "command is required" },
                { "{\"command\":\"\"}",                        NULL },
                { "{\"command\":[]}",                          NULL },
                { "{\"command\":[1]}",                         NULL },
                { "{\"command\":\"x\",\"env\":{\"A=\":\"\"}}", NULL },
                { "{\"command\":\"x\",\"env\":{\"1\":\"\"}}",  "Invalid env key" },
                { "{\"command\":\"x\",\"stdin\":1}",           "stdin must be a string" },
                { "{\"command\":\"x\",\"user\":65536}",        NULL },
                { "{\"command\":\"x\",\"user\":\"nobody\"}",
                  "user must be an id from 0 to 65535, uid:gid or root; names are known inside only" },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, "POST", path(id, "/exec"), cases[i].body, r);

                ASSERT_EQ(r.status, 400);
                if (cases[i].text)
                        ASSERT_STREQ(reply_string(&r, "error"), cases[i].text);
        }
        ASSERT_EQ(c.execd.n_execs, 0);
        {
                REQUEST(&c, "POST", path("sbx_0123456789abcdef01234567", "/exec"), "{\"command\":\"x\"}", r);
                ASSERT_EQ(r.status, 404);
        }
        {
                REQUEST(&c, "POST", path(id, "/exec"), "{\"command\":\"x\"}", warm);
                (void) warm;
        }
        c.execd.fail_method = "Exec";
        c.execd.fail_name = BUS_ERROR_COMMAND_NOT_FOUND;
        {
                REQUEST(&c, "POST", path(id, "/exec"), "{\"command\":[\"nope\"]}", r);
                ASSERT_EQ(r.status, 400);
        }
        core_wait(&c, nothing_runs, NULL);
}

TEST(large_output_is_exact) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/exec"), "{\"command\":\"seq 1 200000\"}", r);
                const char *out = reply_string(&r, "stdout");

                ASSERT_EQ(strlen(out), 1288895);
                ASSERT_TRUE(endswith(out, "\n199999\n200000\n"));
        }
        {
                REQUEST(&c, "POST", path(id, "/exec"), "{\"command\":\"head -c 12000000 /dev/zero | tr '\\\\0' x\"}", r);

                ASSERT_EQ(strlen(reply_string(&r, "stdout")), 10 * MiB);
                ASSERT_TRUE(json_is_true(json_object_get(r.json, "truncated")));
        }
}

/* execd dies while a command runs, while it starts, and when it has just started: the answer is the same. */
TEST(execd_crashes) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(reply_done) Reply r = {};
                Client client;
                unsigned before = c.execd.n_execs;

                c.execd.cut_before = i == 0 ? "Exec" : NULL;
                c.execd.cut_after = i == 1 ? "Exec" : NULL;
                client_open(&c, &client, "POST", path(id, "/exec"), "{\"command\":\"echo a; sleep 0.3; echo b; exit 3\"}");
                while (i == 2 && c.execd.n_execs == before)
                        ASSERT_OK(sd_event_run(service_event(c.service), 1000));
                if (i == 2)
                        fake_execd_crash(&c.execd);
                client_wait(&client, &r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "stdout"), "a\nb\n");
                ASSERT_EQ(reply_integer(&r, "exitCode"), 3);
                ASSERT_EQ(c.execd.n_execs, before + 1);
        }
        core_wait(&c, nothing_runs, NULL);
}

TEST(client_goes_away) {
        _cleanup_(core_stop) Core c = {};
        Client client;
        char id[40];

        core_start(&c);
        core_create(&c, id);
        client_open(&c, &client, "POST", path(id, "/exec"), "{\"command\":\"sleep 100\"}");
        while (c.execd.n_execs == 0)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        client_close(&client);
        core_wait(&c, nothing_runs, NULL);

        client_open(&c, &client, "POST", path(id, "/exec/stream"), "{\"command\":\"echo on; sleep 100\"}");
        client_wait_text(&client, "on\\n");
        client_close(&client);
        core_wait(&c, nothing_runs, NULL);
}

TEST(delete_while_it_runs) {
        _cleanup_(core_stop) Core c = {};
        _cleanup_(reply_done) Reply r = {};
        Client client;
        char id[40];

        core_start(&c);
        core_create(&c, id);
        client_open(&c, &client, "POST", path(id, "/exec"), "{\"command\":\"sleep 100\"}");
        while (c.execd.n_execs == 0)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        {
                REQUEST(&c, "DELETE", path(id, ""), NULL, d);
                ASSERT_EQ(d.status, 200);
        }
        client_wait(&client, &r);
        assert_true(r.status == 503 || r.status == 200);
}

TEST(stream) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/exec/stream"), "{\"command\":\"echo out; echo err >&2; exit 5\"}", r);

                ASSERT_EQ(r.status, 200);
                ASSERT_NOT_NULL(strcasestr(r.head, "Content-Type: text/event-stream"));
                ASSERT_NOT_NULL(strstr(r.body, "data: {\"type\":\"stdout\",\"data\":\"out\\n\",\"timestamp\":1"));
                ASSERT_NOT_NULL(strstr(r.body, "data: {\"type\":\"stderr\",\"data\":\"err\\n\",\"timestamp\":1"));
                ASSERT_NOT_NULL(strstr(r.body, "data: {\"type\":\"exit\",\"data\":\"5\",\"timestamp\":1"));
                ASSERT_TRUE(endswith(r.body, "}\n\n"));
        }
        { /* events cannot be forged */
                REQUEST(&c, "POST", path(id, "/exec/stream"), "{\"command\":\"printf '\\\\ndata: x\\\\n\\\\nevent: y\\\\r\\\\n'\"}", r);
                ASSERT_NOT_NULL(strstr(r.body, "\"data\":\"\\ndata: x\\n\\nevent: y\\r\\n\""));
                ASSERT_NULL(strstr(r.body, "\ndata: x"));
        }
        { /* a time limit has no exit code */
                REQUEST(&c, "POST", path(id, "/exec/stream"), "{\"command\":\"sleep 9\",\"timeout\":1}", r);
                ASSERT_NOT_NULL(strstr(r.body, "{\"type\":\"exit\",\"data\":\"-1\""));
        }
        { /* before the start errors have a status */
                REQUEST(&c, "POST", path(id, "/exec/stream"), "{}", r);
                ASSERT_EQ(r.status, 400);
        }
}

TEST(stream_with_input) {
        _cleanup_(core_stop) Core c = {};
        _cleanup_(reply_done) Reply r = {};
        char id[40], command[64], rest[128], *p;
        Client stream;

        core_start(&c);
        core_create(&c, id);
        client_open(&c, &stream, "POST", path(id, "/exec/stream"), "{\"command\":\"wc -c\",\"stdin\":true}");
        client_wait_text(&stream, "\"timestamp\"");
        p = strstr(stream.data, "{\"type\":\"start\",\"id\":\"");
        ASSERT_NOT_NULL(p);
        ASSERT_EQ(sscanf(p, "{\"type\":\"start\",\"id\":\"%28[^\"]", command), 1);
        snprintf(rest, sizeof rest, "/exec/%s/stdin", command);
        {
                _cleanup_free_ char *body = malloc(1000000);
                _cleanup_(reply_done) Reply u = {};
                Client upload;

                memset(body, 'x', 1000000);
                client_open_raw(&c, &upload, "POST", path(id, rest), "Content-Type: application/octet-stream\r\n", body,
                                1000000);
                client_wait(&upload, &u);
                ASSERT_EQ(u.status, 200);
                ASSERT_EQ(reply_integer(&u, "written"), 1000000);
        }
        client_wait(&stream, &r);
        ASSERT_NOT_NULL(strstr(r.body, "1000000\\n"));
        ASSERT_NOT_NULL(strstr(r.body, "{\"type\":\"exit\",\"data\":\"0\""));
}

static bool is_acknowledged(Core *c, void *userdata) {
        return c->execd.n_acknowledged == *(unsigned *) userdata;
}

/* The pipes are not read any more. */
static bool is_held_up(Core *c, void *userdata) {
        Command *command;
        int enabled;

        (void) userdata;
        HASHMAP_FOREACH(command, c->manager->commands)
                if (command->outputs[0].source &&
                    sd_event_source_get_enabled(command->outputs[0].source, &enabled) >= 0 && enabled == SD_EVENT_OFF)
                        return true;
        return false;
}

/* Whoever does not read gets a gap, or holds the command up if he wants it whole. */
TEST(stream_to_a_slow_reader) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (unsigned lossless = 0; lossless < 2; lossless++) {
                unsigned end = c.execd.n_acknowledged + 1;
                _cleanup_(reply_done) Reply r = {};
                uint64_t n = 0;
                Client client;
                char body[128];

                snprintf(body, sizeof body, "{\"command\":\"head -c 4000000 /dev/zero | tr '\\\\0' x\",\"lossless\":%s}",
                         lossless ? "true" : "false");
                client_open(&c, &client, "POST", path(id, "/exec/stream"), body);
                ASSERT_OK(sd_event_source_set_enabled(client.source, SD_EVENT_OFF));
                core_wait(&c, lossless ? is_held_up : is_acknowledged, &end);
                ASSERT_OK(sd_event_source_set_enabled(client.source, SD_EVENT_ON));
                client_wait(&client, &r);
                for (const char *p = r.body; *p; p++)
                        n += *p == 'x';
                ASSERT_EQ(strstr(r.body, ": gap ") != NULL, !lossless);
                if (lossless)
                        ASSERT_EQ(n, 4000000 + 1); /* and one in "exit" */
        }
}

static bool background_ended(Core *c, void *userdata) {
        Command *command = manager_find_command(c->manager, userdata);

        return command && !command_is_live(command);
}

TEST(background) {
        _cleanup_(core_stop) Core c = {};
        char id[40], bg[40], text[128];

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/exec/background"),
                        "{\"command\":\"echo one; echo two >&2; sleep 0.2; echo three; exit 7\"}", r);
                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(json_is_true(json_object_get(r.json, "running")));
                ASSERT_STREQ(reply_string(&r, "sandboxId"), id);
                snprintf(bg, sizeof bg, "%s", reply_string(&r, "id"));
                ASSERT_NOT_NULL(startswith(bg, "bg_"));
        }
        core_wait(&c, background_ended, bg);
        snprintf(text, sizeof text, "/sandbox/exec/background/%s/status", bg);
        {
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_TRUE(json_is_false(json_object_get(r.json, "running")));
                ASSERT_EQ(reply_integer(&r, "exitCode"), 7);
                assert_true(reply_integer(&r, "finishedAt") >= reply_integer(&r, "startedAt"));
        }
        snprintf(text, sizeof text, "/sandbox/exec/background/%s/logs", bg);
        {
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_STREQ(reply_string(&r, "output"), "one\ntwo\nthree\n");
                ASSERT_EQ(reply_integer(&r, "cursor"), 14);
        }
        snprintf(text, sizeof text, "/sandbox/exec/background/%s/logs?cursor=4", bg);
        {
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_STREQ(reply_string(&r, "output"), "two\nthree\n");
        }
        {
                REQUEST(&c, "GET", "/sandbox/exec/background/bg_0123456789abcdef01234567/status", NULL, r);
                ASSERT_EQ(r.status, 404);
                ASSERT_STREQ(reply_string(&r, "error"), "Background exec not found: bg_0123456789abcdef01234567");
        }
        core_wait(&c, nothing_runs, NULL);
}

/* sandboxd dies: a background command goes on, what it says meanwhile is read on, its status is right; a blocking one
 * is let finish. */
TEST(background_survives_us) {
        _cleanup_(core_stop) Core c = {};
        char id[40], bg[40], text[128];
        Client blocking;

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/exec/background"),
                        "{\"command\":\"echo one; sleep 0.3; echo two; sleep 0.3; echo three; exit 9\"}", r);
                snprintf(bg, sizeof bg, "%s", reply_string(&r, "id"));
        }
        client_open(&c, &blocking, "POST", path(id, "/exec"), "{\"command\":\"sleep 0.5; echo x >&2\"}");
        while (c.execd.n_execs < 2)
                ASSERT_OK(sd_event_run(service_event(c.service), 1000));
        core_stop_sandboxd(&c);
        client_close(&blocking);
        for (unsigned i = 0; i < 4; i++) /* the first words stand in the pipe, nobody reads them */
                ASSERT_OK(sd_event_run(service_event(c.service), 100000));
        core_start_sandboxd(&c);
        core_wait(&c, background_ended, bg);
        snprintf(text, sizeof text, "/sandbox/exec/background/%s/logs", bg);
        {
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_STREQ(reply_string(&r, "output"), "one\ntwo\nthree\n");
        }
        snprintf(text, sizeof text, "/sandbox/exec/background/%s/status", bg);
        {
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_EQ(reply_integer(&r, "exitCode"), 9);
        }
        core_wait(&c, nothing_runs, NULL);
}

TEST(signals_and_list) {
        _cleanup_(core_stop) Core c = {};
        char id[40], bg[40], text[128];

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/exec/background"), "{\"command\":[\"sleep\",\"100\"]}", r);
                snprintf(bg, sizeof bg, "%s", reply_string(&r, "id"));
        }
        {
                REQUEST(&c, "GET", path(id, "/exec"), NULL, r);
                json_t *commands = json_object_get(r.json, "commands");

                ASSERT_EQ(json_array_size(commands), 1);
                ASSERT_STREQ(json_string_value(json_object_get(json_array_get(commands, 0), "kind")), "background");
        }
        snprintf(text, sizeof text, "/exec/%s/signal", bg);
        {
                REQUEST(&c, "POST", path(id, text), "{\"signal\":\"NOPE\"}", r);
                ASSERT_EQ(r.status, 400);
        }
        {
                REQUEST(&c, "POST", path(id, "/exec/interrupt"), "{}", r);
                ASSERT_EQ(r.status, 200);
        }
        core_wait(&c, background_ended, bg);
        snprintf(text, sizeof text, "/sandbox/exec/background/%s/status", bg);
        {
                REQUEST(&c, "GET", text, NULL, r);
                ASSERT_EQ(reply_integer(&r, "exitCode"), 128 + SIGINT);
        }
        {
                REQUEST(&c, "POST", path(id, "/exec/interrupt"), "{\"pid\":99}", r);
                ASSERT_EQ(r.status, 200);
        }
        {
                REQUEST(&c, "POST", path(id, "/processes/kill"), "{\"pid\":7,\"signal\":\"KILL\"}", r);
                ASSERT_EQ(reply_integer(&r, "killed"), 7);
                ASSERT_STREQ(reply_string(&r, "signal"), "KILL");
        }
        {
                REQUEST(&c, "POST", path(id, "/processes/kill"), "{\"pid\":99}", r);
                ASSERT_EQ(reply_integer(&r, "killed"), 99);
                ASSERT_STREQ(reply_string(&r, "signal"), "TERM");
        }
        {
                REQUEST(&c, "POST", path(id, "/processes/kill"), "{\"pid\":1}", r);
                ASSERT_EQ(r.status, 400);
        }
        {
                REQUEST(&c, "GET", path(id, "/processes"), NULL, r);
                json_t *first = json_array_get(json_object_get(r.json, "processes"), 0);

                ASSERT_EQ(json_integer_value(json_object_get(first, "pid")), 7);
                ASSERT_TRUE(json_is_string(json_object_get(first, "cpu")));
        }
        {
                REQUEST(&c, "GET", path(id, "/metrics"), NULL, r);
                ASSERT_EQ(reply_integer(&r, "memoryUsageMb"), 20);
                ASSERT_EQ(reply_integer(&r, "memoryLimitMb"), 512);
                ASSERT_EQ(reply_integer(&r, "pids"), 2);
                ASSERT_TRUE(json_is_number(json_object_get(r.json, "cpuPercent")));
                ASSERT_EQ(reply_integer(&r, "cpuUsec"), 500000);
        }
}
