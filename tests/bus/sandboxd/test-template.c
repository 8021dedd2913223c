/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Templates, and the secrets of a sandbox: what its commands see, and who else must not. */

#define MINE "{\"name\":\"mine\",\"config\":{\"image\":\"test\",\"memory\":128,\"env\":{\"A\":\"1\"},\"odd\":7}}"
#define VALUE "hunter2hunter2"

static json_t *config_of(const Reply *r) {
        return json_object_get(r->json, "config");
}

static void expect(Core *c, const char *method, const char *path, const char *body, unsigned status, const char *text) {
        REQUEST(c, method, path, body, r);

        if (r.status != status || (text && !strstr(reply_string(&r, "error"), text)))
                print_error("%s %s: %u %s\n", method, path, r.status, r.body);
        ASSERT_EQ(r.status, status);
        if (text)
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), text));
}

TEST(builtins) {
        static const char *const ids[] = { "tpl_python-data-science", "tpl_node-web", "tpl_go-api", "tpl_rust-cli" };
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        {
                REQUEST(&c, "GET", "/sandbox/templates", NULL, r);
                json_t *list = json_object_get(r.json, "templates");

                ASSERT_EQ(json_array_size(list), 4);
                for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                        ASSERT_STREQ(json_string_value(json_object_get(json_array_get(list, i), "id")), ids[i]);
        }
        {
                REQUEST(&c, "GET", "/sandbox/templates/tpl_node-web", NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_TRUE(json_is_true(json_object_get(r.json, "builtin")));
                ASSERT_EQ(reply_integer(&r, "createdAt"), 0);
                ASSERT_STREQ(json_string_value(json_object_get(config_of(&r), "image")), "node:20-slim");
                ASSERT_TRUE(json_is_true(json_object_get(config_of(&r), "network")));
        }
        expect(&c, "DELETE", "/sandbox/templates/tpl_node-web", NULL, 403, "Cannot delete builtin template");
        expect(&c, "GET", "/sandbox/templates/node-web", NULL, 404, "Template not found: node-web");
        expect(&c, "POST", "/sandbox/templates", "{\"name\":\"go-api\",\"config\":{\"image\":\"test\"}}", 409,
               "Template with name already exists: go-api");
        /* a template whose image nobody mapped */
        expect(&c, "POST", "/sandbox/sandboxes", "{\"template\":\"rust-cli\"}", 400, "rust:1.77-slim");
}

TEST(create_use_delete) {
        _cleanup_(core_stop) Core c = {};
        char path[80], id[40];

        core_start(&c);
        {
                REQUEST(&c, "POST", "/sandbox/templates", MINE, r);
                ASSERT_EQ(r.status, 200);
                snprintf(id, sizeof id, "%s", reply_string(&r, "id"));
                ASSERT_NOT_NULL(startswith(id, "tpl_"));
                ASSERT_STREQ(reply_string(&r, "description"), "");
                ASSERT_FALSE(json_is_true(json_object_get(r.json, "builtin")));
                ASSERT_NULL(json_object_get(config_of(&r), "odd"));
                ASSERT_EQ(json_object_size(config_of(&r)), 3);
        }
        expect(&c, "POST", "/sandbox/templates", MINE, 409, "Template with name already exists: mine");
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        for (int i = 0; i < 2; i++) {
                _cleanup_free_ char *body = NULL;

                ASSERT_TRUE(asprintf(&body, "{\"image\":\"python:3.12-slim\",\"cpu\":2,\"memory\":null,\"template\":\"%s\"}",
                                     i == 0 ? "mine" : id) > 0);
                REQUEST(&c, "POST", "/sandbox/sandboxes", body, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "image"), "test");
                ASSERT_EQ(json_integer_value(json_object_get(config_of(&r), "memory")), 128);
                ASSERT_EQ(json_integer_value(json_object_get(config_of(&r), "cpu")), 2);
                ASSERT_STREQ(json_string_value(json_object_get(json_object_get(config_of(&r), "env"), "A")), "1");
        }
        snprintf(path, sizeof path, "/sandbox/templates/%s", id);
        {
                REQUEST(&c, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "deleted"), id);
        }
        expect(&c, "DELETE", path, NULL, 404, "Template not found");
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"template\":\"mine\"}", 404,
               "Template not found: mine");
}

TEST(refusals) {
        static const struct {
                const char *body, *text;
        } cases[] = {
                { "{}", "config is required" },
                { "{\"name\":\"x\"}", "config is required" },
                { "{\"config\":{\"image\":\"test\"}}", "name is required" },
                { "{\"name\":\"\",\"config\":{\"image\":\"test\"}}", "name must not be empty" },
                { "{\"name\":\"x\",\"config\":7}", "config must be an object" },
                { "{\"name\":\"x\",\"config\":{}}", "Invalid config: image is required" },
                { "{\"name\":\"x\",\"config\":{\"image\":\"a$b\"}}", "Invalid config: Invalid image name" },
                { "{\"name\":\"x\",\"config\":{\"image\":\"a\",\"env\":{\"A\":1}}}", "Invalid config: env must be" },
                { "{\"name\":\"x\",\"config\":{\"image\":\"a\",\"secrets\":{\"A\":\"b\"}}}", "Invalid config: " },
        };
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                expect(&c, "POST", "/sandbox/templates", cases[i].body, 400, cases[i].text);
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"template\":[]}", 400,
               "template must be a string");
        REQUEST(&c, "GET", "/sandbox/templates", NULL, r);
        ASSERT_EQ(json_array_size(json_object_get(r.json, "templates")), 4);
}

static void check_silent(Core *c, const char *method, const char *path, const char *body) {
        REQUEST(c, method, path, body, r);

        ASSERT_EQ(r.status, 200);
        ASSERT_NULL(strstr(r.body, VALUE));
}

TEST(secrets) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[80];

        core_start(&c);
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes",
                        "{\"image\":\"test\",\"secrets\":{\"ONE\":\"" VALUE "\"},\"env\":{\"TWO\":\"" VALUE "\",\"C\":\"d\"},"
                        "\"secretEnv\":[\"TWO\"]}", r);
                ASSERT_EQ(r.status, 200);
                ASSERT_NULL(strstr(r.body, VALUE));
                ASSERT_EQ(json_array_size(json_object_get(config_of(&r), "secretEnv")), 2);
                ASSERT_EQ(json_object_size(json_object_get(config_of(&r), "env")), 1);
                snprintf(id, sizeof id, "%s", reply_string(&r, "id"));
        }
        ASSERT_NULL(strstr(c.execd.sandboxes[0].label, VALUE));
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s", id);
        check_silent(&c, "GET", path, NULL);
        check_silent(&c, "GET", "/sandbox/sandboxes", NULL);
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        strcat(path, "/exec");
        {
                REQUEST(&c, "POST", path, "{\"command\":\"echo $ONE $TWO $C\"}", r);
                ASSERT_STREQ(reply_string(&r, "stdout"), VALUE " " VALUE " d\n");
        }
        check_silent(&c, "GET", path, NULL);
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"secrets\":{\"A\":7}}", 400,
               "secrets must be an object of strings");
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"secrets\":\"" VALUE "\"}", 400,
               "secrets must be an object");
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"secretEnv\":[\"X\"]}", 400,
               "secretEnv names X, which env does not have");
}
