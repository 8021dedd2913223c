/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

static const char *path(const char *id, const char *rest) {
        static char text[4][256];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s/files%s", id, rest);
        return text[i];
}

TEST(write_read) {
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path(id, "/write"), "{\"path\":\"a.txt\",\"content\":\"h\\u00e9llo \\u0001\\n\"}", r);
                ASSERT_EQ(r.status, 200);
        }
        {
                REQUEST(&c, "POST", path(id, "/read"), "{\"path\":\"/workspace/a.txt\"}", r);
                ASSERT_STREQ(json_string_value(r.json), "h\xc3\xa9llo \x01\n");
        }
        {
                REQUEST(&c, "POST", path(id, "/download"), "{\"path\":\"a.txt\"}", r);
                ASSERT_STREQ(json_string_value(r.json), "aMOpbGxvIAEK");
        }
        {
                REQUEST(&c, "POST", path(id, "/upload"), "{\"path\":\"b\",\"content\":\"AP+A\"}", r);
                ASSERT_EQ(r.status, 200);
        }
        {
                REQUEST(&c, "POST", path(id, "/download"), "{\"path\":\"b\"}", r);
                ASSERT_STREQ(json_string_value(r.json), "AP+A");
        }
        {
                REQUEST(&c, "POST", path(id, "/read"), "{\"path\":\"missing\"}", r);
                ASSERT_EQ(r.status, 404);
        }
}

TEST(large) {
        _cleanup_(core_stop) Core c = {};
        _cleanup_free_ char *body = malloc(3000000);
        _cleanup_(reply_done) Reply put = {}, chunk = {};
        Client client;
        char id[40];
        size_t n;

        core_start(&c);
        core_create(&c, id);
        n = (size_t) sprintf(body, "{\"path\":\"big\",\"content\":\"");
        memset(body + n, 'y', 200000);
        strcpy(body + n + 200000, "\"}");
        {
                REQUEST(&c, "POST", path(id, "/write"), body, r);
                ASSERT_EQ(r.status, 200);
        }
        {
                REQUEST(&c, "POST", path(id, "/read"), "{\"path\":\"big\"}", r);
                ASSERT_EQ(json_string_length(r.json), 200000);
        }
        for (size_t i = 0; i < 3000000; i++)
                body[i] = (char) (i * 7 % 251);
        client_open_raw(&c, &client, "PUT", path(id, "/raw?path=/tmp/raw&mode=755"),
                        "Content-Type: application/octet-stream\r\n", body, 3000000);
        client_wait(&client, &put);
        ASSERT_EQ(put.status, 200);
        ASSERT_EQ(reply_integer(&put, "size"), 3000000);
        {
                REQUEST(&c, "GET", path(id, "/raw?path=/tmp/raw"), NULL, r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(r.n_body, 3000000);
                ASSERT_EQ(memcmp(r.body, body, r.n_body), 0);
        }
        client_open_raw(&c, &client, "GET", path(id, "/raw?path=/tmp/raw"), "Range: bytes=1000-1009\r\n", "", 0);
        client_wait(&client, &chunk);
        ASSERT_EQ(chunk.status, 206);
        ASSERT_EQ(chunk.n_body, 10);
        ASSERT_EQ(memcmp(chunk.body, body + 1000, 10), 0);
        ASSERT_NOT_NULL(strcasestr(chunk.head, "Content-Range: bytes 1000-1009/3000000"));
}

TEST(upload_fails) {
        _cleanup_(core_stop) Core c = {};
        _cleanup_free_ char *body = calloc(1, 2000000);
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(reply_done) Reply r = {};
                Client client;

                c.fsd.fail_method = i == 0 ? "Write" : NULL;
                c.fsd.fail_name = BUS_ERROR_NO_SPACE;
                c.fsd.cut_before = i == 1 ? "Write" : NULL;
                client_open_raw(&c, &client, "PUT", path(id, "/raw?path=/tmp/raw"),
                                "Content-Type: application/octet-stream\r\n", body, 2000000);
                client_wait(&client, &r);
                ASSERT_EQ(r.status, i == 0 ? 507 : 503);
        }
        c.fsd.cut_before = "Read"; /* asked again */
        {
                REQUEST(&c, "POST", path(id, "/read"), "{\"path\":\"nothing\"}", r);
                ASSERT_EQ(r.status, 404);
        }
}

TEST(rules_and_forms) {
        static const struct {
                const char *route, *body;
                unsigned status;
                const char *text; /* in the body */
        } cases[] = {
                { "/read",     "{\"path\":\"/etc/passwd\"}",                     400, "Path traversal detected: /etc/passwd" },
                { "/write",    "{\"path\":\"../../etc/cron.d/evil\",\"content\":\"\"}", 400, "Path traversal detected" },
                { "/read",     "{\"path\":\"/workspace/../etc/passwd\"}",        400, "Path traversal detected" },
                { "/download", "{\"path\":\"/../../../etc/hostname\"}",          400, "Path traversal detected" },
                { "/read",     "{\"path\":\"\"}",                                400, "path is required" },
                { "/read",     "{}",                                             400, "path is required" },
                { "/write",    "{\"path\":\"a\"}",                               400, "content is required" },
                { "/upload",   "{\"path\":\"a\",\"content\":\"AAA\"}",           400, "Invalid base64" },
                { "/upload",   "{\"path\":\"a\",\"content\":\"AA AA\"}",         400, "Invalid base64" },
                { "/search",   "{\"pattern\":\"a;b\"}",                          400, "Invalid search pattern" },
                { "/search",   "{\"pattern\":\"*.txt\"}",                        200, "[\"/workspace/a.txt\"]" },
                { "/list",     "{}",                                             200, "\"modifiedAt\":1700000000000" },
                { "/info",     "{\"path\":\"a\"}",                               200, "{\"path\":\"/workspace/a\"" },
                { "/info",     "{\"paths\":[\"a\"]}",                            200, "[{\"path\":\"/workspace/a\"" },
                { "/info",     "{\"path\":\"a\"}",                               200, "\"permissions\":\"-rw-r--r--\"" },
                { "/mkdir",    "{\"path\":\"d\"}",                               200, "true" },
                { "/mkdir",    "{\"paths\":[\"d\",\"e/f\"]}",                    200, "true" },
                { "/rmdir",    "{\"paths\":[\"d\"]}",                            200, "true" },
                { "/rmdir",    "{\"paths\":[]}",                                 400, "paths is required" },
                { "/delete",   "{\"path\":\"d\"}",                               200, "true" },
                { "/move",     "{\"moves\":[{\"from\":\"a\",\"to\":\"b\"}]}",    200, "true" },
                { "/move",     "{\"moves\":[{\"from\":\"a\",\"to\":\"/b\"}]}",   400, "Path traversal detected" },
                { "/move",     "{\"moves\":[{\"from\":\"a\"}]}",                 400, "moves" },
                { "/chmod",    "{\"path\":\"a\",\"mode\":\"755\"}",              200, "true" },
                { "/chmod",    "{\"path\":\"a\"}",                               400, "mode is required" },
        };
        _cleanup_(core_stop) Core c = {};
        char id[40];

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, "POST", path(id, cases[i].route), cases[i].body, r);

                if (r.status != cases[i].status || !strstr(r.body, cases[i].text))
                        print_error("%s %s: %u %s\n", cases[i].route, cases[i].body, r.status, r.body);
                ASSERT_EQ(r.status, cases[i].status);
                ASSERT_NOT_NULL(strstr(r.body, cases[i].text));
        }
}

TEST(system_routes) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        {
                REQUEST(&c, "GET", "/sandbox/health", NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "healthy");
        }
        {
                REQUEST(&c, "GET", "/sandbox/images", NULL, r);
                ASSERT_NOT_NULL(strstr(r.body, "{\"images\":[{\"name\":\"test\""));
        }
        {
                REQUEST(&c, "POST", "/sandbox/admin/sweep", NULL, r);
                ASSERT_EQ(reply_integer(&r, "swept"), 0);
        }
}
