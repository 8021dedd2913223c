/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "tests/unit/sandboxd/http-fixture.h"

/* Raw bytes in, status out: what we and libmicrohttpd together make of requests that are not as they should be. */

#define GET "GET /sandbox/health HTTP/1.1\r\n"
#define POST "POST /sandbox/echo HTTP/1.1\r\n" HOST
#define JSON "Content-Type: application/json\r\n"

typedef struct Case {
        const char *bytes;
        size_t n;               /* 0: strlen() */
        unsigned status, or_status; /* versions of libmicrohttpd differ */
        bool closes;
        bool of_mhd;            /* libmicrohttpd's own page: chunks are none of our business */
} Case;

/* The connection ends without a word. */
#define NO_REPLY UINT_MAX

#define BYTES(literal) literal, sizeof(literal) - 1

static const Case cases[] = {
        { GET HOST "\r\n", 0, 200, 0, false },
        { "GET /sandbox/health HTTP/1.0\r\n\r\n", 0, 200, 0, true },
        { "HEAD /sandbox/health HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 0, 200, 0, true },

        /* Host */
        { GET "\r\n", 0, 400, 0, true },
        { GET HOST HOST "\r\n", 0, 400, 0, true },
        { GET "Host: evil.example\r\n\r\n", 0, 421, 0, true },
        { GET "Host: 127.0.0.1.evil.example\r\n\r\n", 0, 421, 0, true },
        { GET "Host: localhost:99999\r\n\r\n", 0, 421, 0, true },
        { GET "Host: [::1]:3111\r\n\r\n", 0, 200, 0, false },
        { GET "Host: 127.0.0.1:3111\r\n\r\n", 0, 200, 0, false },
        { GET "Host: [::1\r\n\r\n", 0, 421, 0, true },
        { GET "Host:\r\n\r\n", 0, 421, 400, true },

        /* Origin */
        { GET HOST "Origin: http://evil.example\r\n\r\n", 0, 403, 0, true },
        { GET HOST "Origin: null\r\n\r\n", 0, 403, 0, true },
        { "OPTIONS /sandbox/echo HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", 0, 403, 0, true },
        { "DELETE /sandbox/echo/1 HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", 0, 403, 0, true },
        { POST "Origin: http://evil.example\r\nContent-Length: 2\r\n\r\n{}", 0, 403, 0, true },
        { GET HOST "Sec-Fetch-Site: cross-site\r\n\r\n", 0, 403, 0, true },
        { GET HOST "Sec-Fetch-Site: none\r\n\r\n", 0, 200, 0, false },
        { POST "Sec-Fetch-Mode: no-cors\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 0, 415, 0, true },
        { POST "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 0, 200, 0, false },

        /* Content-Length */
        { POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", 0, 400, 0, true },
        { POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 0, 400, 0, true },
        { POST "Content-Length: +5\r\n\r\n12345", 0, 400, 0, true },
        { POST "Content-Length: 5, 5\r\n\r\n12345", 0, 400, 0, true },
        { POST "Content-Length: 0x5\r\n\r\n12345", 0, 400, 0, true },
        { POST "Content-Length: -1\r\n\r\n12345", 0, 400, 0, true },
        { POST "Content-Length: 18446744073709551616\r\n\r\n12345", 0, 400, 413, true },
        { POST "Content-Length: 18446744073709551615\r\n\r\n12345", 0, 400, 413, true },
        { POST "Content-Length: 9000000000\r\n\r\n12345", 0, 413, 0, true },
        { POST "Content-Length:\r\n\r\n", 0, 400, 0, true },

        /* Transfer-Encoding */
        { POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 0, 400, 0, true },
        { POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0, 400, 501, true },
        { POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, 400, 501, true },
        { POST "Transfer-Encoding: chunked \t\r\n\r\n0\r\n\r\n", 0, 501, 200, false },
        { POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 0, 400, 501, true },
        { POST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 0, 400, 501, true },
        { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400, 0, true },
        { POST JSON "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 0, 200, 0, false },
        { POST JSON "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 0, 400, 0, true, true },
        { POST JSON "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 0, 400, 0, true, true },
        { POST JSON "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n", 0, 400, 413, true, true },
        { POST JSON "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n", 0, 400, 0, true, true },

        /* header lines */
        { GET HOST "X-A: b\r\n c\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X-A: b\r\n\tc\r\n\r\n", 0, 400, 0, true },
        { GET " X-A: b\r\n" HOST "\r\n", 0, 400, 0, true },
        { GET HOST "X-A : b\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X A: b\r\n\r\n", 0, 400, 0, true },
        { GET HOST ": b\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X-A\r\n\r\n", 0, 400, 0, true },
        { BYTES(GET HOST "X-A: b\0c\r\n\r\n"), 400, 0, true },
        { BYTES(GET HOST "X-\0A: b\r\n\r\n"), 400, 0, true },
        { BYTES(GET HOST "X-A: b\r\nX-B: \0\r\n\r\n"), 400, 0, true },
        { GET HOST "X-A: b\x7f\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X\x7f: b\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X-A: b\x01\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X-A: b\rX-B: c\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X-A: b\r\r\n\r\n", 0, 400, 0, true },
        { GET "X-A: b\r" HOST "\r\n", 0, 400, 0, true },
        { GET HOST "X-A: b\nX-B: c\r\n\r\n", 0, 400, 0, true },
        { GET HOST "X-A:b\r\nX-B: \t c \t\r\nX-C:\r\n\r\n", 0, 200, 0, false },
        { GET HOST "X-A: gr\xc3\xbc\xc3\x9f\r\n\r\n", 0, 200, 0, false },
        { "\r\n" GET HOST "\r\n", 0, 200, 400, false },

        /* request line */
        { "GET /sandbox/health\r\n\r\n", 0, 400, 505, true },
        { "GET /sandbox/health HTTP/1.2\r\n" HOST "\r\n", 0, 400, 505, true },
        { "GET /sandbox/health HTTP/2.0\r\n" HOST "\r\n", 0, 400, 505, true },
        { "GET /sandbox/health HTTP/3\r\n" HOST "\r\n", 0, 400, 505, true },
        { "GET /sandbox/health HTTP/1.1 x\r\n" HOST "\r\n", 0, 400, 505, true },
        { "GET http://other/sandbox/health HTTP/1.1\r\n" HOST "\r\n", 0, 400, 421, true },
        { "GET sandbox/health HTTP/1.1\r\n" HOST "\r\n", 0, 400, 0, true },
        { "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, 400, 0, true },
        { "G\x7fT /sandbox/health HTTP/1.1\r\n" HOST "\r\n", 0, 400, 501, true },
        { "BREW /sandbox/health HTTP/1.1\r\n" HOST "\r\n", 0, 405, 0, false },
        { "CONNECT localhost:1 HTTP/1.1\r\n" HOST "\r\n", 0, 400, 501, true },
        { BYTES("GET /sandbox/he\0alth HTTP/1.1\r\n" HOST "\r\n"), 400, NO_REPLY, true },
        { "GET /sandbox/he\x01lth HTTP/1.1\r\n" HOST "\r\n", 0, 400, 0, true },

        /* the route is not changed by decoding */
        { "GET /sandbox/sandboxes/%2e%2e/x HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes/..;/x HTTP/1.1\r\n" HOST "\r\n", 0, 200, 400, false },
        { "GET /sandbox/sandboxes/a%2fx HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes/a%5cx HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes/a%00 HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes//x HTTP/1.1\r\n" HOST "\r\n", 0, 404, 400, false },
        { "GET /sandbox/sandboxes/./x HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes/../health HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes/%zz HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/sandboxes/%c0%af HTTP/1.1\r\n" HOST "\r\n", 0, 400, 404, false },
        { "GET /sandbox/h%65alth HTTP/1.1\r\n" HOST "\r\n", 0, 404, 0, false },
        { "GET /sandbox/sandboxes/a%20b HTTP/1.1\r\n" HOST "\r\n", 0, 200, 0, false },
        { "GET /sandbox/health/ HTTP/1.1\r\n" HOST "\r\n", 0, 404, 0, false },
        { "GET /elsewhere HTTP/1.1\r\n" HOST "\r\n", 0, 404, 0, false },
        { "GET /sandboxes HTTP/1.1\r\n" HOST "\r\n", 0, 404, 0, false },

        /* JSON */
        { POST JSON "Content-Length: 0\r\n\r\n", 0, 200, 0, false },
        { POST JSON "Content-Length: 2\r\n\r\n[]", 0, 400, 0, false },
        { POST JSON "Content-Length: 3\r\n\r\n\"x\"", 0, 400, 0, false },
        { POST JSON "Content-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", 0, 400, 0, false },
        { POST JSON "Content-Length: 14\r\n\r\n{\"a\":\"\\u0000\"}", 0, 400, 0, false },
        { POST JSON "Content-Length: 14\r\n\r\n{\"a\":\"\\ud800\"}", 0, 400, 0, false },
        { POST JSON "Content-Length: 9\r\n\r\n{\"a\":NaN}", 0, 400, 0, false },
        { POST JSON "Content-Length: 11\r\n\r\n{\"a\":1e999}", 0, 400, 0, false },
        { POST JSON "Content-Length: 5\r\n\r\n\xef\xbb\xbf{}", 0, 400, 0, false },
        { POST JSON "Content-Length: 4\r\n\r\n{} x", 0, 400, 0, false },
        { POST JSON "Content-Length: 1\r\n\r\n{", 0, 400, 0, false },
        { POST JSON "Content-Length: 9\r\n\r\n{\"a\":\"\xff\"}", 0, 400, 0, false },
        { POST JSON "Content-Length: 26\r\n\r\n{\"a\":18446744073709551616 }", 0, 400, 0, false },
        { POST "Content-Type: text/html\r\nContent-Length: 1\r\n\r\n{", 0, 200, 0, false },
        { POST "Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}", 0, 200, 0, false },

        /* query */
        { "GET /sandbox/echo?a=%zz HTTP/1.1\r\n" HOST "\r\n", 0, 400, 0, false },
        { "GET /sandbox/echo?a=%00 HTTP/1.1\r\n" HOST "\r\n", 0, 400, 0, false },
        { "GET /sandbox/echo?a=%ff HTTP/1.1\r\n" HOST "\r\n", 0, 400, 0, false },
        { "GET /sandbox/echo?a=b+c%20d&e HTTP/1.1\r\n" HOST "\r\n", 0, 200, 0, false },
};

static bool has_common_headers(const Reply *r) {
        return strstr(r->text, "\r\nCache-Control: no-store\r\n") &&
               strstr(r->text, "\r\nX-Content-Type-Options: nosniff\r\n");
}

/* An empty body is what the dialect wants for an unknown route. */
static bool has_envelope(const Reply *r) {
        return r->status == 200 || *reply_body(r) == 0 || startswith(reply_body(r), "{\"error\":\"") ||
               startswith(reply_body(r), "{\"code\":\"");
}

/* One reply, of the expected status, with the headers that all have; then the end where it must be. */
static bool run_case(Fixture *f, const Case *c, size_t index) {
        bool good = true;
        size_t n = c->n > 0 ? c->n : strlen(c->bytes);
        Reply r = {}, second = {};
        int fd;

        fd = fixture_connect(f);
        fixture_send(f, fd, c->bytes, n);
        fixture_receive(f, fd, &r);
        if (r.n == 0 && c->or_status == NO_REPLY)
                r.status = NO_REPLY;
        if (r.status != c->status && (c->or_status == 0 || r.status != c->or_status)) {
                print_error("case %zu: status %u instead of %u\n%s\n-> %s\n", index, r.status, c->status, c->bytes,
                            r.text);
                good = false;
        }
        if (good && r.n > 0 && !c->of_mhd && !(has_common_headers(&r) && has_envelope(&r))) {
                print_error("case %zu: a reply that is not ours\n%s\n-> %s\n", index, c->bytes, r.text);
                good = false;
        }
        if (good && c->closes && !r.closed) {
                fixture_receive(f, fd, &second);
                if (!second.closed || second.n > 0) {
                        print_error("case %zu: not closed\n%s\n-> %s\n", index, c->bytes, second.text);
                        good = false;
                }
                reply_done(&second);
        }
        reply_done(&r);
        close(fd);
        return good;
}

TEST(raw_requests) {
        size_t n_bad = 0;
        Fixture f;

        fixture_start(&f, NULL, NULL, &f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                n_bad += !run_case(&f, cases + i, i);
        ASSERT_EQ(n_bad, 0);
        fixture_stop(&f);
}

static void expect_status(Fixture *f, const char *text, unsigned status) {
        Reply r;

        fixture_exchange(f, text, strlen(text), &r);
        ASSERT_EQ(r.status, status);
        reply_done(&r);
}

TEST(sizes) {
        char *text = NULL, *longer = NULL;
        Fixture f;

        fixture_start(&f, NULL, NULL, &f);

        ASSERT_TRUE(asprintf(&text, "GET /sandbox/%0*d HTTP/1.1\r\n" HOST "\r\n", 5000, 0) > 0);
        expect_status(&f, text, 414);
        free(text);
        ASSERT_TRUE(asprintf(&text, "%0*d / HTTP/1.1\r\n" HOST "\r\n", 4096, 0) > 0);
        expect_status(&f, text, 501);
        free(text);
        ASSERT_TRUE(asprintf(&text, GET HOST "X-A: %0*d\r\n\r\n", 17 * 1024, 0) > 0);
        expect_status(&f, text, 431);
        free(text);
        ASSERT_TRUE(asprintf(&text, GET HOST "X-A: %0*d\r\n\r\n", 15 * 1024, 0) > 0);
        expect_status(&f, text, 200);
        free(text);

        text = strdup(GET HOST);
        for (size_t i = 1; i < 64; i++) {
                ASSERT_TRUE(asprintf(&longer, "%sX-%zu: a\r\n", text, i) > 0);
                free(text);
                text = longer;
        }
        ASSERT_TRUE(asprintf(&longer, "%s\r\n", text) > 0);
        expect_status(&f, longer, 200);
        free(longer);
        ASSERT_TRUE(asprintf(&longer, "%sX-64: a\r\n\r\n", text) > 0);
        expect_status(&f, longer, 431);
        free(longer);
        free(text);
        fixture_stop(&f);
}

/* libmicrohttpd's buffer grows while the head arrives; what is compared in it must stay in place. */
TEST(long_head_in_pieces) {
        static const size_t steps[] = { 1, 7, 97, 1000, 4096, 9000 };
        _cleanup_free_ char *text = malloc(32 * KiB);
        size_t n;
        Fixture f;

        n = (size_t) sprintf(text, GET HOST);
        for (size_t i = 0; i < 60; i++)
                n += (size_t) sprintf(text + n, "X-Header-%zu:%*s%0240zu\r\n", i, (int) (i % 5), "", i);
        n += (size_t) sprintf(text + n, "\r\n");

        fixture_start(&f, NULL, NULL, &f);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int fd = fixture_connect(&f);
                Reply r;

                for (size_t at = 0; at < n; at += steps[i]) {
                        fixture_send(&f, fd, text + at, MIN(steps[i], n - at));
                        while (sd_event_run(f.event, 0) > 0)
                                ;
                }
                fixture_receive(&f, fd, &r);
                ASSERT_EQ(r.status, 200);
                reply_done(&r);
                close(fd);
        }
        fixture_stop(&f);
}

TEST(headers_of_all_replies) {
        static const char *const requests[] = {
                GET HOST "\r\n",
                GET "Host: evil\r\n\r\n",
                "GET /sandbox/nothing HTTP/1.1\r\n" HOST "\r\n",
                "PUT /sandbox/health HTTP/1.1\r\n" HOST "\r\n",
                "GET /sandbox/fail HTTP/1.1\r\n" HOST "\r\n",
        };
        Fixture f;

        fixture_start(&f, NULL, NULL, &f);
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                Reply r;

                fixture_exchange(&f, requests[i], strlen(requests[i]), &r);
                ASSERT_TRUE(has_common_headers(&r));
                ASSERT_NULL(strstr(r.text, "Access-Control"));
                reply_done(&r);
        }
        fixture_stop(&f);
}

TEST(bodies_of_errors) {
        static const struct {
                const char *request;
                unsigned status;
                const char *body;
        } rows[] = {
                { "GET /sandbox/nothing HTTP/1.1\r\n" HOST "\r\n", 404, "" },
                { "PUT /sandbox/echo HTTP/1.1\r\n" HOST "\r\n", 405, "" },
                { "GET /nothing HTTP/1.1\r\n" HOST "\r\n", 404,
                  "{\"code\":\"not_found\",\"message\":\"There is no such route\"}" },
                { "GET /sandbox/fail HTTP/1.1\r\n" HOST "\r\n", 500, "{\"error\":\"Internal error\"}" },
                { "GET /sandbox/fail?name=io.sandboxd.Error.WrongState HTTP/1.1\r\n" HOST "\r\n", 409,
                  "{\"error\":\"It failed\"}" },
                { "GET /sandbox/fail?name=io.sandboxd.Error.NoSuchSandbox HTTP/1.1\r\n" HOST "\r\n", 404,
                  "{\"error\":\"It failed\"}" },
                { "GET /sandbox/fail?name=org.freedesktop.DBus.Error.NoReply HTTP/1.1\r\n" HOST "\r\n", 503,
                  "{\"error\":\"The service is not available at the moment\"}" },
        };
        Fixture f;

        fixture_start(&f, NULL, NULL, &f);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Reply r;

                fixture_exchange(&f, rows[i].request, strlen(rows[i].request), &r);
                ASSERT_EQ(r.status, rows[i].status);
                ASSERT_STREQ(reply_body(&r), rows[i].body);
                if (r.status == 405)
                        ASSERT_NOT_NULL(strstr(r.text, "\r\nAllow: GET, POST\r\n"));
                reply_done(&r);
        }
        fixture_stop(&f);
}

TEST(cors) {
        static const char *const any[] = { "SANDBOX_CORS_ORIGINS=*", NULL };
        static const char *const one[] = { "SANDBOX_CORS_ORIGINS=http://a.example, http://b.example", NULL };
        static const char preflight[] = "OPTIONS /sandbox/echo HTTP/1.1\r\n" HOST "Origin: http://b.example\r\n"
                                        "Access-Control-Request-Method: POST\r\n"
                                        "Access-Control-Request-Headers: authorization\r\n\r\n";
        Fixture f;
        Reply r;

        fixture_start(&f, any, NULL, &f);
        fixture_exchange(&f, preflight, strlen(preflight), &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_NOT_NULL(strstr(r.text, "\r\nAccess-Control-Allow-Origin: *\r\n"));
        ASSERT_NOT_NULL(strstr(r.text, "\r\nAccess-Control-Allow-Headers: authorization\r\n"));
        reply_done(&r);
        fixture_stop(&f);

        fixture_start(&f, one, NULL, &f);
        fixture_exchange(&f, preflight, strlen(preflight), &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_NOT_NULL(strstr(r.text, "\r\nAccess-Control-Allow-Origin: http://b.example\r\n"));
        reply_done(&r);
        expect_status(&f, GET HOST "Origin: http://c.example\r\n\r\n", 403);
        fixture_stop(&f);
}

TEST(rate_of_a_token) {
        static const char *const settings[] = { "III_AUTH_TOKEN=a", "API_KEY=b", "III_RATE_LIMIT_ENABLED=true",
                                                "III_RATE_TOKEN_BURST=10", "III_RATE_TOKEN_RPM=1", NULL };
        static const char request[] = "GET /sandbox/echo HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\n\r\n";
        int wait_sec;
        Fixture f;
        Reply r;

        fixture_start(&f, settings, NULL, &f);
        for (size_t i = 0; i < 10; i++)
                expect_status(&f, request, 200);
        fixture_exchange(&f, request, strlen(request), &r);
        ASSERT_EQ(r.status, 429);
        ASSERT_STREQ(reply_body(&r), "{\"error\":\"Rate limit exceeded\"}");
        ASSERT_NOT_NULL(strstr(r.text, "\r\nRetry-After: "));
        wait_sec = atoi(strstr(r.text, "\r\nRetry-After: ") + strlen("\r\nRetry-After: "));
        ASSERT_TRUE(wait_sec > 1 && wait_sec <= 60); /* one a minute */
        reply_done(&r);
        expect_status(&f, "GET /sandbox/echo HTTP/1.1\r\n" HOST "Authorization: b\r\n\r\n", 200);
        expect_status(&f, GET HOST "\r\n", 200);
        fixture_stop(&f);
}

/* Commands and files have buckets of their own, by sandbox, and nobody is exempt. */
TEST(rate_of_a_sandbox) {
        static const char *const settings[] = { "III_RATE_LIMIT_ENABLED=true", "III_RATE_SBX_EXEC_PM=2",
                                                "III_RATE_SBX_FS_PM=1", NULL };
        static const struct {
                const char *line;
                unsigned status;
        } rows[] = {
                { "POST /sandbox/sandboxes/a/exec",            200 },
                { "GET /sandbox/sandboxes/a/exec",             200 }, /* only looks */
                { "GET /sandbox/sandboxes/a/git/status",       200 }, /* runs one */
                { "POST /sandbox/sandboxes/a/exec",            429 },
                { "POST /sandbox/sandboxes/b/exec",            200 },
                { "GET /sandbox/sandboxes/a/files/raw",        200 },
                { "GET /sandbox/sandboxes/a/files/raw",        429 },
                { "GET /sandbox/sandboxes/a",                  200 },
        };
        Fixture f;

        fixture_start(&f, settings, NULL, &f);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char text[512];

                snprintf(text, sizeof text, "%s HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", rows[i].line);
                expect_status(&f, text, rows[i].status);
        }
        fixture_stop(&f);
}

TEST(tokens) {
        static const char *const settings[] = { "III_AUTH_TOKEN=secret", "API_KEY=other", NULL };
        static const struct {
                const char *header;
                unsigned status;
        } rows[] = {
                { "", 401 },
                { "Authorization: Basic c2VjcmV0\r\n", 403 },
                { "Authorization: Bearer\r\n", 403 },
                { "Authorization: Bearer wrong\r\n", 403 },
                { "Authorization: bearer secret\r\n", 403 },
                { "Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\n", 400 },
                { "Authorization: Bearer secret\r\n", 200 },
                { "Authorization: secret\r\n", 200 },
                { "Authorization: Bearer other\r\n", 200 },
                { "Authorization: Bearer wrong\r\n", 429 }, /* the sixth failure at once */
                { "Authorization: Bearer secret\r\n", 200 },
        };
        Fixture f;

        fixture_start(&f, settings, NULL, &f);
        expect_status(&f, GET HOST "\r\n", 200);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char text[512];

                snprintf(text, sizeof text, "GET /sandbox/echo HTTP/1.1\r\n" HOST "%s\r\n", rows[i].header);
                expect_status(&f, text, rows[i].status);
        }
        fixture_stop(&f);
}
