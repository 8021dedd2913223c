/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Against the machine's own git, in a directory of the test. */
typedef struct Repository {
        Core core;
        char id[40], *work;
} Repository;

__attribute__((format(printf, 2, 3)))
static const char *path(const Repository *t, const char *format, ...) {
        static char text[4][512];
        static unsigned i;
        va_list ap;
        int n;

        i = (i + 1) % 4;
        n = snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s", t->id);
        va_start(ap, format);
        vsnprintf(text[i] + n, sizeof text[i] - (size_t) n, format, ap);
        va_end(ap);
        return text[i];
}

static void run(Repository *t, const char *command) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s, s:s}", "command", command, "cwd", t->work);
        _cleanup_free_ char *text = json_dumps(body, 0);
        REQUEST(&t->core, "POST", path(t, "/exec"), text, r);

        ASSERT_EQ(r.status, 200);
        if (reply_integer(&r, "exitCode") != 0)
                print_error("%s\n", r.body);
        ASSERT_EQ(reply_integer(&r, "exitCode"), 0);
}

static bool start(Repository *t) {
        if (access("/usr/bin/git", X_OK) < 0) {
                print_message("there is no git here\n");
                return false;
        }
        core_start(&t->core);
        core_create(&t->core, t->id);
        ASSERT_TRUE(asprintf(&t->work, "%s/repository", t->core.directory) > 0);
        ASSERT_EQ(mkdir(t->work, 0700), 0); /* else the fake starts commands in "/" */
        return true;
}

static void stop(Repository *t) {
        if (t->work)
                core_stop(&t->core);
        free(t->work);
}

#define POST(t, route, reply, ...)                                                                 \
        _cleanup_(json_decrefp) json_t *reply##_body = json_pack(__VA_ARGS__);                     \
        _cleanup_free_ char *reply##_text = json_dumps(reply##_body, 0);                           \
        REQUEST(&(t)->core, "POST", path(t, "/git/" route), reply##_text, reply)

static void make(Repository *t) {
        run(t, "git init -q -b main . && git config user.name 'A B' && git config user.email a@b.c");
}

TEST(whole_cycle) {
        _cleanup_(stop) Repository t = {};

        if (!start(&t))
                return;
        make(&t);
        run(&t, "echo 1 >one; touch \"$(printf 'a\\tb')\"");
        {
                REQUEST(&t.core, "GET", path(&t, "/git/status?path=%s", t.work), NULL, r);

                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "branch"), "main");
                assert_true(json_is_false(json_object_get(r.json, "clean")));
                ASSERT_EQ(json_array_size(json_object_get(r.json, "files")), 2);
                ASSERT_NOT_NULL(strstr(r.body, "\"path\":\"\\\"a\\\\tb\\\"\""));
                ASSERT_NOT_NULL(strstr(r.body, "\"status\":\"??\""));
        }
        {
                POST(&t, "commit", r, "{s:s, s:s, s:b}", "path", t.work, "message", "-a\t$(id) 'q'\n\nbody", "all", 1);

                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(reply_integer(&r, "exitCode"), 0);
        }
        {
                REQUEST(&t.core, "GET", path(&t, "/git/log?count=5&path=%s", t.work), NULL, r);
                json_t *entry = json_array_get(json_object_get(r.json, "entries"), 0);

                ASSERT_EQ(json_array_size(json_object_get(r.json, "entries")), 1);
                ASSERT_STREQ(json_string_value(json_object_get(entry, "message")), "-a\t$(id) 'q'");
                ASSERT_STREQ(json_string_value(json_object_get(entry, "author")), "A B");
                ASSERT_EQ(json_string_length(json_object_get(entry, "hash")), 40);
        }
        run(&t, "echo 2 >>one");
        {
                REQUEST(&t.core, "GET", path(&t, "/git/diff?path=%s", t.work), NULL, r);
                REQUEST(&t.core, "GET", path(&t, "/git/diff?staged=true&path=%s", t.work), NULL, staged);

                ASSERT_NOT_NULL(strstr(reply_string(&r, "diff"), "\n+2\n"));
                ASSERT_STREQ(reply_string(&staged, "diff"), "");
        }
        {
                POST(&t, "branch", r, "{s:s, s:s}", "path", t.work, "name", "feature");
                POST(&t, "branch", again, "{s:s, s:s}", "path", t.work, "name", "feature");

                ASSERT_STREQ(reply_string(&r, "current"), "feature");
                ASSERT_EQ(json_array_size(json_object_get(r.json, "branches")), 2);
                ASSERT_EQ(again.status, 400);
        }
        {
                POST(&t, "checkout", r, "{s:s, s:s}", "path", t.work, "ref", "main");
                POST(&t, "branch", gone, "{s:s, s:s, s:b}", "path", t.work, "name", "feature", "delete", 1);

                ASSERT_EQ(reply_integer(&r, "exitCode"), 0);
                ASSERT_EQ(json_array_size(json_object_get(gone.json, "branches")), 1);
                ASSERT_STREQ(reply_string(&gone, "current"), "main");
        }
}

TEST(clone_push_pull) {
        _cleanup_(stop) Repository t = {};
        _cleanup_free_ char *bare = NULL, *copy = NULL;

        if (!start(&t))
                return;
        make(&t);
        ASSERT_TRUE(asprintf(&bare, "%s/bare.git", t.core.directory) > 0);
        ASSERT_TRUE(asprintf(&copy, "%s/a copy", t.core.directory) > 0);
        run(&t, "git commit -q --allow-empty -m first && git clone -q --bare . ../bare.git");
        {
                POST(&t, "clone", r, "{s:s, s:s, s:s}", "url", bare, "path", copy, "branch", "main");
                POST(&t, "clone", again, "{s:s, s:s}", "url", bare, "path", copy);

                ASSERT_EQ(reply_integer(&r, "exitCode"), 0);
                ASSERT_EQ(again.status, 200);
                ASSERT_EQ(reply_integer(&again, "exitCode"), 128);
        }
        run(&t, "cd '../a copy' && git config user.name x && git config user.email y && "
                "git commit -q --allow-empty -m second");
        {
                POST(&t, "push", r, "{s:s, s:s, s:s}", "path", copy, "remote", "origin", "branch", "main");
                POST(&t, "push", forced, "{s:s, s:b}", "path", copy, "force", 1);
                POST(&t, "pull", pulled, "{s:s, s:s, s:s}", "path", t.work, "remote", bare, "branch", "main");

                ASSERT_EQ(reply_integer(&r, "exitCode"), 0);
                ASSERT_EQ(reply_integer(&forced, "exitCode"), 0);
                ASSERT_EQ(reply_integer(&pulled, "exitCode"), 0);
        }
        {
                REQUEST(&t.core, "GET", path(&t, "/git/log?path=%s", t.work), NULL, r);

                ASSERT_EQ(json_array_size(json_object_get(r.json, "entries")), 2);
        }
}

TEST(no_repository) {
        _cleanup_(stop) Repository t = {};

        if (!start(&t))
                return;
        {
                REQUEST(&t.core, "GET", path(&t, "/git/status?path=%s", t.work), NULL, r);
                REQUEST(&t.core, "GET", path(&t, "/git/log?path=%s", t.work), NULL, log);
                REQUEST(&t.core, "GET", path(&t, "/git/diff?path=%s", t.work), NULL, diff);

                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "branch"), "HEAD");
                assert_true(json_is_true(json_object_get(r.json, "clean")));
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "not a git repository"));
                ASSERT_NOT_NULL(strstr(reply_string(&diff, "error"), "Not a git repository"));
                ASSERT_NULL(strstr(reply_string(&diff, "error"), "\n"));
                ASSERT_EQ(json_array_size(json_object_get(log.json, "entries")), 0);
        }
}

TEST(refusals) {
        static const struct {
                const char *route, *body;
        } cases[] = {
                { "clone",    "{}" },
                { "clone",    "{\"url\":1}" },
                { "clone",    "{\"url\":\"--upload-pack=touch /tmp/x\"}" },
                { "clone",    "{\"url\":\"ext::sh -c touch% /tmp/x\"}" },
                { "clone",    "{\"url\":\"ext::sh\"}" },
                { "clone",    "{\"url\":\"file:///etc\"}" },
                { "clone",    "{\"url\":\"relative/path\"}" },
                { "clone",    "{\"url\":\"ssh://-oProxyCommand=x/y\"}" },
                { "clone",    "{\"url\":\"-oProxyCommand=x:y\"}" },
                { "clone",    "{\"url\":\"a@-oProxyCommand=x:y\"}" },
                { "clone",    "{\"url\":\"https://h/$(id)\"}" },
                { "clone",    "{\"url\":\"https://h/`id`\"}" },
                { "clone",    "{\"url\":\"https://h/\\nx\"}" },
                { "clone",    "{\"url\":\"https://h/\\u0000x\"}" },
                { "clone",    "{\"url\":\"https://h/x\",\"branch\":\"-c core.sshCommand=x\"}" },
                { "clone",    "{\"url\":\"https://h/x\",\"depth\":\"many\"}" },
                { "clone",    "{\"url\":\"https://h/x\",\"token\":\"a\\npassword=b\"}" },
                { "commit",   "{}" },
                { "commit",   "{\"message\":\"\"}" },
                { "checkout", "{\"ref\":\"--orphan\"}" },
                { "checkout", "{}" },
                { "branch",   "{\"name\":\"-D\"}" },
                { "push",     "{\"remote\":\"--receive-pack=x\"}" },
                { "push",     "{\"remote\":\"ext::sh -c x\"}" },
                { "push",     "{\"branch\":\"--exec=x\"}" },
                { "pull",     "{\"remote\":\"--upload-pack=x\"}" },
        };
        _cleanup_(stop) Repository t = {};
        unsigned before;

        if (!start(&t))
                return;
        before = t.core.execd.n_execs;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char route[64];

                snprintf(route, sizeof route, "/git/%s", cases[i].route);
                REQUEST(&t.core, "POST", path(&t, "%s", route), cases[i].body, r);
                if (r.status != 400)
                        print_error("%s %s: %u %s\n", route, cases[i].body, r.status, r.body);
                ASSERT_EQ(r.status, 400);
        }
        {
                REQUEST(&t.core, "GET", path(&t, "/git/diff?file=--output=x"), NULL, r);
                ASSERT_EQ(r.status, 400);
        }
        ASSERT_EQ(t.core.execd.n_execs, before);
}

TEST(image_without_git) {
        _cleanup_(stop) Repository t = {};

        if (!start(&t))
                return;
        t.core.execd.fail_method = "Exec";
        t.core.execd.fail_name = BUS_ERROR_COMMAND_NOT_FOUND;
        {
                REQUEST(&t.core, "GET", path(&t, "/git/status"), NULL, r);

                ASSERT_EQ(r.status, 400);
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "'git'"));
        }
}

/* Whatever is given as secret, and wherever, is seen in no answer and no list. */
TEST(secrets_stay_secret) {
        static const char *const urls[] = { "https://127.0.0.1:1/x", "https://user:TOPSECRET@127.0.0.1:1/x",
                                            "https://TOPSECRET@127.0.0.1:1/x" };
        _cleanup_(stop) Repository t = {};

        if (!start(&t))
                return;
        for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
                Client client;
                Reply r, list = {};

                POST(&t, "clone", again, "{s:s, s:s}", "url", urls[i], "token", "TOPSECRET");
                ASSERT_EQ(again.status, 200);
                ASSERT_EQ(reply_integer(&again, "exitCode"), 128);
                ASSERT_NULL(strstr(again.body, "TOPSECRET"));

                client_open(&t.core, &client, "POST", path(&t, "/git/clone"), again_text);
                core_request(&t.core, "GET", path(&t, "/exec"), NULL, &list);
                client_wait(&client, &r);
                ASSERT_NULL(strstr(list.body, "TOPSECRET"));
                reply_done(&r);
                reply_done(&list);
        }
}
