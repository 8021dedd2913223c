/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/string-util.h"
#include "sandboxd/proxy-head.h"
#include "sandboxd/proxy.h"
#include "tests/test.h"

#define BASE "/sandbox/proxy/sbx_0/8080"

TEST(what_goes_to_the_server) {
        static const struct {
                const char *name, *value, *line; /* NULL: it does not go on */
        } cases[] = {
                { "Accept",            "*/*",                               "Accept: */*\r\n"                   },
                { "authorization",     "Bearer x",                          NULL                                },
                { "Cookie",            "a=1; sandbox-sig=x; b=2",           "Cookie: a=1; b=2\r\n"              },
                { "Cookie",            "sandbox-sig=x",                     NULL                                },
                { "Cookie",            "my-sandbox-sig=x",                  "Cookie: my-sandbox-sig=x\r\n"      },
                { "Connection",        "close, X-Hop",                      NULL                                },
                { "X-Hop",             "1",                                 NULL                                },
                { "Content-Length",    "5",                                 NULL                                },
                { "Transfer-Encoding", "chunked",                           NULL                                },
                { "Host",              "evil.example",                      NULL                                },
                { "Proxy-Anything",    "x",                                 NULL                                },
                { "X-Forwarded-For",   "x",                                 NULL                                },
                { "Forwarded",         "x",                                 NULL                                },
                { "Origin",            "http://127.0.0.1:3111",             "Origin: http://localhost:8080\r\n" },
                { "Origin",            "http://evil.example",               "Origin: http://evil.example\r\n"   },
                { "Referer",           "http://127.0.0.1/?sandbox-sig=x",   NULL                                },
                { "Referer",           "http://127.0.0.1/",                 "Referer: http://127.0.0.1/\r\n"    },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ProxyHead h = { .transparent = true, .port = 8080, .own_host = "127.0.0.1:3111", .connection = "x-hop" };

                proxy_head_add(&h, cases[i].name, cases[i].value);
                ASSERT_STREQ(h.text ?: "", cases[i].line ?: "");
                proxy_head_done(&h);
        }
}

/* Whoever writes them down for the server means them. */
TEST(what_an_envelope_says_goes_on) {
        ProxyHead h = { .port = 80 };

        proxy_head_begin(&h, "POST", "/a", NULL);
        proxy_head_add(&h, "Authorization", "Basic x");
        proxy_head_add(&h, "Content-Length", "7");
        proxy_head_end(&h, 5, NULL);
        ASSERT_STREQ(h.text, "POST /a HTTP/1.1\r\nHost: localhost:80\r\nAuthorization: Basic x\r\nVia: 1.1 sandboxd\r\n"
                             "Content-Length: 5\r\n\r\n");
        proxy_head_done(&h);
}

TEST(head_of_a_stream) {
        ProxyHead h = { .transparent = true, .port = 80, .via = "1.0 other" };

        proxy_head_begin(&h, "PUT", "", "x=1");
        proxy_head_end(&h, UINT64_MAX, "websocket");
        ASSERT_STREQ(h.text, "PUT /?x=1 HTTP/1.1\r\nHost: localhost:80\r\nVia: 1.0 other, 1.1 sandboxd\r\n"
                             "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n");
        proxy_head_done(&h);
}

TEST(what_comes_back) {
        static const struct {
                const char *name, *value, *expect; /* NULL: it does not go on */
        } cases[] = {
                { "Server",                      "x",                                 "x"                            },
                { "Content-Length",              "5",                                 NULL                           },
                { "Connection",                  "X-Hop",                             NULL                           },
                { "X-Hop",                       "x",                                 NULL                           },
                { "access-control-allow-origin", "*",                                 NULL                           },
                { "Clear-Site-Data",             "x",                                 NULL                           },
                { "Strict-Transport-Security",   "x",                                 NULL                           },
                { "Location",                    "/a?b",                              BASE "/a?b"                    },
                { "Location",                    "http://localhost:8080/a",           BASE "/a"                      },
                { "Location",                    "http://127.0.0.1:8080",             BASE "/"                       },
                { "Location",                    "http://[::1]:8080?x",               BASE "/?x"                     },
                { "Location",                    "http://localhost:80801/a",          "http://localhost:80801/a"     },
                { "Location",                    "http://localhost:8080.evil/",       "http://localhost:8080.evil/"  },
                { "Location",                    "http://localhost/a",                "http://localhost/a"           },
                { "Location",                    "//evil.example/",                   "//evil.example/"              },
                { "Location",                    "https://evil.example/",             "https://evil.example/"        },
                { "Location",                    "a/b",                               "a/b"                          },
                { "Set-Cookie",                  "a=b",                               "a=b; Path=" BASE "/"          },
                { "Set-Cookie",                  "a=b; Path=/; Secure",               "a=b; Secure; Path=" BASE "/"  },
                { "Set-Cookie",                  "a=b;path = /x ;Domain=localhost",   "a=b; Path=" BASE "/"          },
                { "Set-Cookie",                  "a=b; path=/x; DOMAIN=x; HttpOnly",  "a=b; HttpOnly; Path=" BASE "/x" },
                { "Set-Cookie",                  "a=b; Path=/x; Path=/y",             "a=b; Path=" BASE "/y"         },
                { "Set-Cookie",                  "Path=b",                            "Path=b; Path=" BASE "/"       },
                { "Set-Cookie",                  "sandbox-sig=x",                     NULL                           },
                { "Set-Cookie",                  "",                                  NULL                           },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ResponseHead head = { .fields = { { "Connection", "X-Hop" } }, .n_fields = 1 };
                ResponseField field = { cases[i].name, cases[i].value };
                _cleanup_free_ char *value = NULL;

                ASSERT_EQ(proxy_response_field(&head, &field, BASE, 8080, &value), cases[i].expect ? 1 : 0);
                ASSERT_STREQ(value ?: "", cases[i].expect ?: "");
        }
}

TEST(signatures_are_taken_out) {
        static const struct {
                const char *query, *left, *signature;
        } cases[] = {
                { "a=1&sandbox-sig=x&b=2", "a=1&b=2",         "x"  },
                { "sandbox-sig=x",         NULL,              "x"  },
                { "sandbox-sig=",          NULL,              ""   },
                { "a&&b=%zz",              "a&&b=%zz",        NULL },
                { "",                      "",                NULL },
                { "xsandbox-sig=x",        "xsandbox-sig=x",  NULL },
                { NULL,                    NULL,              NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *left = NULL, *signature = NULL;

                ASSERT_OK(proxy_strip_query(cases[i].query, &left));
                ASSERT_EQ(!!left, !!cases[i].left);
                ASSERT_STREQ(left ?: "", cases[i].left ?: "");
                ASSERT_OK(proxy_find_signature(cases[i].query, "&", &signature));
                ASSERT_EQ(!!signature, !!cases[i].signature);
                ASSERT_STREQ(signature ?: "", cases[i].signature ?: "");
        }
        ASSERT_EQ(proxy_count_via(NULL), 0);
        ASSERT_EQ(proxy_count_via("1.1 sandboxd, 1.0 x, 1.1 sandboxd"), 2);
}

TEST(origins) {
        static const struct {
                const char *cors;
                bool valid;
        } cases[] = {
                { "*", true },                  { "", true },                       { "http://a", true },
                { "http://a,https://b:1", true }, { "http://a, http://b", true },   { "a", false },
                { "http://", false },           { "http://a b", false },            { "http://a,", false },
                { "http://a/", false },         { "*, http://a", false },           { "http://a\r\nX: y", false },
                { "null", false },              { "http://\xc3\xa4", false },
        };
        Sandbox s = { .proxy = json_pack("{s:s}", "cors", "http://a, http://b:1") };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(proxy_cors_is_valid(cases[i].cors), cases[i].valid);
        ASSERT_STREQ(proxy_allow_origin(&s, "http://a"), "http://a");
        ASSERT_STREQ(proxy_allow_origin(&s, "http://b:1"), "http://b:1");
        ASSERT_NULL(proxy_allow_origin(&s, "http://b"));
        ASSERT_NULL(proxy_allow_origin(&s, ""));
        json_decref(s.proxy);
        s.proxy = NULL;
        ASSERT_NULL(proxy_allow_origin(&s, "http://a"));
}
