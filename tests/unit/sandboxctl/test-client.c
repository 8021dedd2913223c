/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sandboxctl/client.h"
#include "sandboxctl/exit-status.h"
#include "tests/test.h"

TEST(encode) {
        static const struct {
                const char *plain, *encoded;
        } cases[] = {
                { "/a/b-c_d.e~f", "/a/b-c_d.e~f" },
                { "a b&c=d%e+f?#", "a%20b%26c%3Dd%25e%2Bf%3F%23" },
                { "\xc3\xa4\n", "%C3%A4%0A" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *encoded = client_encode(cases[i].plain);

                ASSERT_STREQ(encoded, cases[i].encoded);
        }
}

TEST(address) {
        static const struct {
                const char *url, *socket, *variable, *address;
                int r;
        } cases[] = {
                { "http://a:1/", NULL, NULL, "http://a:1", 0 },
                { "https://a//", "/x", "http://c", "https://a", 0 },
                { NULL, "/x", "http://c", "/x", 0 },
                { NULL, NULL, "http://c", "http://c", 0 },
                { "file:///etc/passwd", NULL, NULL, NULL, -EINVAL },
                { NULL, NULL, "localhost:3111", NULL, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ClientOptions options = CLIENT_OPTIONS_DEFAULT;
                _cleanup_(client_freep) Client *c = NULL;
                _cleanup_free_ char *error = NULL;

                unsetenv("III_SANDBOX_URL");
                if (cases[i].variable)
                        setenv("III_SANDBOX_URL", cases[i].variable, 1);
                options.url = cases[i].url;
                options.socket = cases[i].socket;
                ASSERT_EQ(client_new(&options, &c, &error), cases[i].r);
                if (cases[i].r < 0)
                        ASSERT_NOT_NULL(error);
                else
                        ASSERT_STREQ(client_address(c), cases[i].address);
        }
        unsetenv("III_SANDBOX_URL");
}

TEST(no_server) {
        ClientOptions options = CLIENT_OPTIONS_DEFAULT;
        _cleanup_(client_freep) Client *c = NULL;
        _cleanup_(transfer_freep) Transfer *t = NULL;
        _cleanup_free_ char *error = NULL;
        TransferResult result;

        options.socket = "/nonexistent/socket";
        ASSERT_OK(client_new(&options, &c, &error));
        ASSERT_OK(transfer_new(c, &(TransferSpec) { .method = "GET", .path = "/health" }, &t));
        ASSERT_EQ(transfer_finish(t, &result), -ECONNREFUSED);
        ASSERT_EQ(result.status, 0);
        ASSERT_TRUE(result.text[0] != 0);
}

TEST(exit_statuses) {
        static const struct {
                long http;
                ExitStatus status;
        } cases[] = {
                { 400, EXIT_STATUS_FAILURE },  { 401, EXIT_STATUS_REFUSED }, { 403, EXIT_STATUS_REFUSED },
                { 404, EXIT_STATUS_NOT_FOUND }, { 409, EXIT_STATUS_CONFLICT }, { 413, EXIT_STATUS_LIMIT },
                { 429, EXIT_STATUS_LIMIT },    { 500, EXIT_STATUS_SERVER },  { 503, EXIT_STATUS_SERVER },
                { 504, EXIT_STATUS_SERVER },   { 507, EXIT_STATUS_LIMIT },   { 302, EXIT_STATUS_FAILURE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(exit_status_from_http(cases[i].http), cases[i].status);
}
