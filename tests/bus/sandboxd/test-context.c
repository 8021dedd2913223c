/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* With the machine's own interpreters and the drivers of the source tree. */
static char id[40];

static const char *path(const char *format, ...) _printf_(1, 2);
static const char *path(const char *format, ...) {
        static char text[4][256];
        static unsigned i;
        va_list ap;
        int n;

        i = (i + 1) % 4;
        n = snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s/interpret/contexts", id);
        va_start(ap, format);
        vsnprintf(text[i] + n, sizeof text[i] - (size_t) n, format, ap);
        va_end(ap);
        return text[i];
}

static void start(Core *c) {
        ASSERT_EQ(setenv("SANDBOXD_INTERPRETERS", TEST_INTERPRETERS, 1), 0);
        core_start(c);
        core_create(c, id);
}

static void make(Core *c, const char *language, char ret[40]) {
        char body[64];

        snprintf(body, sizeof body, "{\"language\":\"%s\",\"cwd\":\"/tmp\"}", language);
        REQUEST(c, "POST", path("%s", ""), body, r);

        if (r.status != 200)
                print_error("%s\n", r.body);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "status"), "idle");
        snprintf(ret, 40, "%s", reply_string(&r, "id"));
}

static json_t *cell(const char *code, int timeout) {
        return timeout ? json_pack("{s:s, s:i}", "code", code, "timeout", timeout) : json_pack("{s:s}", "code", code);
}

/* expect: part of it; NULL: null. */
static void run(Core *c, const char *context, const char *code, const char *output, const char *result,
                const char *error) {
        _cleanup_(json_decrefp) json_t *body = cell(code, 0);
        _cleanup_free_ char *text = json_dumps(body, 0);
        REQUEST(c, "POST", path("/%s/execute", context), text, r);
        const char *seen = json_string_value(json_object_get(r.json, "error"));

        if (r.status != 200 || !streq(reply_string(&r, "output"), output) || (error ? !seen : seen != NULL))
                print_error("%s: %s\n", code, r.body);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "output"), output);
        ASSERT_TRUE(streq_ptr(json_string_value(json_object_get(r.json, "result")), result));
        ASSERT_EQ(seen != NULL, error != NULL);
        if (error)
                ASSERT_NOT_NULL(strstr(seen, error));
        assert_true(reply_integer(&r, "executionTime") >= 1);
}

static bool nothing_runs(Core *c, void *userdata) {
        (void) userdata;
        for (size_t i = 0; i < FAKE_MAX; i++)
                if (c->execd.commands[i].used)
                        return false;
        return c->manager->n_attended == 0;
}

static void end(Core *c, const char *context) {
        REQUEST(c, "DELETE", path("/%s", context), NULL, r);
        REQUEST(c, "GET", path("/%s", context), NULL, gone);
        REQUEST(c, "GET", path("%s", ""), NULL, list);

        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(gone.status, 404);
        ASSERT_EQ(json_array_size(json_object_get(list.json, "contexts")), 0);
        core_wait(c, nothing_runs, NULL);
}

TEST(python) {
        _cleanup_(core_stop) Core c = {};
        char context[40];

        start(&c);
        make(&c, "python", context);
        run(&c, context, "x = 41\nprint('out')", "out\n", NULL, NULL);
        run(&c, context, "x + 1", "", "42", NULL);
        run(&c, context, "def f():\n    return undefined\nf()", "", NULL, "in f\n    return undefined");
        run(&c, context, "import os; os.system('echo below')", "below\n", "0", NULL);
        run(&c, context, "exit(3)", "", NULL, "SystemExit: 3");
        run(&c, context, "os.getcwd()", "", "'/tmp'", NULL);
        end(&c, context);
}

TEST(bash) {
        _cleanup_(core_stop) Core c = {};
        char context[40];

        start(&c);
        make(&c, "bash", context);
        run(&c, context, "x='a b'; cd /; declare -A m; m[k]=v", "", NULL, NULL);
        run(&c, context, "echo \"$x\" \"$PWD\" \"${m[k]}\"", "a b / v\n", NULL, NULL);
        run(&c, context, "false", "", NULL, "status 1");
        run(&c, context, "cat", "", NULL, NULL);
        run(&c, context, "exit 3", "", NULL, "ended");
        {
                REQUEST(&c, "POST", path("/%s/execute", context), "{\"code\":\"1\"}", dead);
                REQUEST(&c, "POST", path("/%s/restart", context), NULL, r);

                ASSERT_EQ(dead.status, 409);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "status"), "idle");
        }
        run(&c, context, "echo \"[$x]\"", "[]\n", NULL, NULL);
        end(&c, context);
}

TEST(javascript) {
        _cleanup_(core_stop) Core c = {};
        char context[40];

        if (access("/usr/bin/node", X_OK) < 0) {
                print_message("there is no node here\n");
                return;
        }
        start(&c);
        make(&c, "javascript", context);
        run(&c, context, "let x = 41; console.log('out')", "out\n", NULL, NULL);
        run(&c, context, "x + 1", "", "42", NULL);
        run(&c, context, "throw new Error('bad')", "", NULL, "Error: bad");
        run(&c, context, "new Promise(r => setTimeout(() => r({a: 1}), 5))", "", "{ a: 1 }", NULL);
        end(&c, context);
}

static bool is_busy(Core *c, void *userdata) {
        REQUEST(c, "GET", path("/%s", (const char *) userdata), NULL, r);

        return streq(reply_string(&r, "status"), "busy");
}

TEST(interrupt_and_timeout) {
        _cleanup_(core_stop) Core c = {};
        _cleanup_(reply_done) Reply late = {};
        char context[40];
        Client client;

        start(&c);
        make(&c, "python", context);
        run(&c, context, "import time; x = 1", "", NULL, NULL);
        client_open(&c, &client, "POST", path("/%s/execute", context), "{\"code\":\"time.sleep(60)\"}");
        core_wait(&c, is_busy, context);
        {
                REQUEST(&c, "POST", path("/%s/interrupt", context), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        client_wait(&client, &late);
        ASSERT_EQ(late.status, 200);
        ASSERT_NOT_NULL(strstr(reply_string(&late, "error"), "KeyboardInterrupt"));
        {
                REQUEST(&c, "POST", path("/%s/execute", context),
                        "{\"code\":\"print(x, flush=True); time.sleep(60)\",\"timeout\":1}", r);

                ASSERT_EQ(r.status, 504);
                ASSERT_STREQ(reply_string(&r, "output"), "1\n");
                assert_true(json_is_true(json_object_get(r.json, "timedOut")));
        }
        run(&c, context, "x", "", "1", NULL);
        /* A client that goes away does not leave it busy. */
        client_open(&c, &client, "POST", path("/%s/execute", context), "{\"code\":\"time.sleep(60)\"}");
        core_wait(&c, is_busy, context);
        client_close(&client);
        run(&c, context, "x", "", "1", NULL);
        {
                REQUEST(&c, "POST", path("/%s/execute", context),
                        "{\"code\":\"import signal; signal.signal(2, signal.SIG_IGN); time.sleep(60)\",\"timeout\":1}", r);

                ASSERT_EQ(r.status, 504);
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "ended"));
        }
        end(&c, context);
}

TEST(restart_of_ours_keeps_variables) {
        _cleanup_(core_stop) Core c = {};
        char context[40];
        Client client;

        start(&c);
        make(&c, "python", context);
        run(&c, context, "import time; x = 1", "", NULL, NULL);
        client_open(&c, &client, "POST", path("/%s/execute", context),
                    "{\"code\":\"time.sleep(0.5); print('nobody reads this'); x = 2\"}");
        core_wait(&c, is_busy, context);
        core_stop_sandboxd(&c);
        client_close(&client);
        core_start_sandboxd(&c);
        run(&c, context, "print(x)", "2\n", NULL, NULL);
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        run(&c, context, "x", "", "2", NULL);
        end(&c, context);
}

/* What code says in the driver's name is its own loss. */
TEST(hostile_frames) {
        static const char *const codes[] = {
                "b'nonsense' * 100", "b'done x 99999999\\n'", "b'done  1\\n'", "b'result ' + b'a' * 50 + b' 1\\nx'",
        };
        _cleanup_(core_stop) Core c = {};

        start(&c);
        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                char context[40], code[512];
                _cleanup_(json_decrefp) json_t *body = NULL;
                _cleanup_free_ char *text = NULL;

                make(&c, "python", context);
                snprintf(code, sizeof code,
                         "import os, stat, time\nfor f in range(3, 50):\n  try:\n    if stat.S_ISSOCK(os.fstat(f).st_mode): "
                         "os.write(f, %s)\n  except OSError: pass\ntime.sleep(60)", codes[i]);
                body = cell(code, 30);
                text = json_dumps(body, 0);
                REQUEST(&c, "POST", path("/%s/execute", context), text, r);

                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "error"), "The context ended");
                end(&c, context);
        }
}

TEST(refusals) {
        _cleanup_(core_stop) Core c = {};
        _cleanup_(json_decrefp) json_t *body = NULL;
        _cleanup_free_ char *text = NULL, *code = malloc(70001);
        char context[40];

        start(&c);
        {
                REQUEST(&c, "POST", path("%s", ""), "{\"language\":\"go\"}", language);
                REQUEST(&c, "GET", path("/ctx_0123456789abcdef01234567"), NULL, missing);
                REQUEST(&c, "POST", path("/ctx_0123456789abcdef01234567/execute"), "{\"code\":\"1\"}", execute);

                ASSERT_EQ(language.status, 400);
                ASSERT_EQ(missing.status, 404);
                ASSERT_EQ(execute.status, 404);
        }
        c.execd.fail_method = "Exec";
        c.execd.fail_name = BUS_ERROR_COMMAND_NOT_FOUND;
        {
                REQUEST(&c, "POST", path("%s", ""), "{\"language\":\"javascript\"}", r);
                REQUEST(&c, "GET", path("%s", ""), NULL, list);

                ASSERT_EQ(r.status, 400);
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "'node'"));
                ASSERT_EQ(json_array_size(json_object_get(list.json, "contexts")), 0);
        }
        make(&c, "python", context);
        memset(code, ' ', 70000);
        code[70000] = 0;
        body = cell(code, 0);
        text = json_dumps(body, 0);
        {
                REQUEST(&c, "POST", path("/%s/execute", context), "{}", empty);
                REQUEST(&c, "POST", path("/%s/execute", context), text, large);

                ASSERT_EQ(empty.status, 400);
                ASSERT_EQ(large.status, 413);
        }
        {
                REQUEST(&c, "DELETE", "/sandbox/sandboxes/x", NULL, other);
                (void) other;
        }
        end(&c, context);
}

TEST(end_with_the_sandbox) {
        _cleanup_(core_stop) Core c = {};
        char context[40], sandbox[80];

        start(&c);
        make(&c, "python", context);
        snprintf(sandbox, sizeof sandbox, "/sandbox/sandboxes/%s", id);
        {
                REQUEST(&c, "DELETE", sandbox, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        {
                uint64_t n;

                ASSERT_OK(store_count_objects(c.manager->store, "context", NULL, NULL, &n));
                ASSERT_EQ(n, 0);
        }
}

static void make_with_key(Core *c, const char *key, Client *ret) {
        const char *body = "{\"language\":\"python\",\"cwd\":\"/tmp\"}";
        char headers[128];

        snprintf(headers, sizeof headers, "Content-Type: application/json\r\nIdempotency-Key: %s\r\n", key);
        client_open_raw(c, ret, "POST", path("%s", ""), headers, body, strlen(body));
}

static void wait_made(Client *client, char ret[40]) {
        _cleanup_(reply_done) Reply r = {};

        client_wait(client, &r);
        if (r.status != 200)
                print_error("%s\n", r.body);
        ASSERT_EQ(r.status, 200);
        snprintf(ret, 40, "%s", reply_string(&r, "id"));
}

static bool one_is_listed(Core *c, void *userdata) {
        REQUEST(c, "GET", path("%s", ""), NULL, r);

        (void) userdata;
        return json_array_size(json_object_get(r.json, "contexts")) == 1;
}

/* Also when we are killed between the making and the answer. */
TEST(a_key_makes_one) {
        _cleanup_(core_stop) Core c = {};
        char first[40], again[40];
        Client client;

        start(&c);
        make_with_key(&c, "k1", &client);
        core_wait(&c, one_is_listed, NULL);
        client_close(&client);
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        make_with_key(&c, "k1", &client);
        wait_made(&client, first);
        make_with_key(&c, "k1", &client);
        wait_made(&client, again);
        ASSERT_STREQ(first, again);
        ASSERT_TRUE(one_is_listed(&c, NULL));
        make_with_key(&c, "k2", &client);
        wait_made(&client, again);
        ASSERT_TRUE(!streq(first, again));
        {
                REQUEST(&c, "DELETE", path("/%s", first), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        end(&c, again);
}
