/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/http/response.h"
#include "tests/test.h"

static char text[2 * RESPONSE_HEAD_MAX];

static ssize_t parse(const char *s, bool is_head_request, ResponseHead *ret) {
        size_t n = strlen(s);

        memcpy(text, s, n + 1);
        return response_parse(text, n, is_head_request, ret);
}

TEST(framing) {
        static const struct {
                const char *head;
                bool is_head_request;
                BodyFraming framing;
                uint64_t length;
                bool keeps_alive;
        } cases[] = {
                { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH, 5, true },
                { "HTTP/1.1 200\r\ncontent-length:5\t\r\n\r\n", false, BODY_LENGTH, 5, true },
                { "HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, BODY_NONE, 0, true },
                { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, BODY_NONE, 5, true },
                { "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", false, BODY_NONE, 5, true },
                { "HTTP/1.1 204 x\r\n\r\n", false, BODY_NONE, UINT64_MAX, true },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", false, BODY_CHUNKED, UINT64_MAX, true },
                { "HTTP/1.1 200 OK\r\n\r\n", false, BODY_UNTIL_CLOSE, UINT64_MAX, false },
                { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH, 5, false },
                { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x, close\r\n\r\n", false, BODY_LENGTH, 5, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ResponseHead h;

                ASSERT_EQ(parse(cases[i].head, cases[i].is_head_request, &h), strlen(cases[i].head));
                ASSERT_EQ(h.framing, cases[i].framing);
                ASSERT_EQ(h.length, cases[i].length);
                ASSERT_EQ(h.keeps_alive, cases[i].keeps_alive);
        }
}

TEST(what_is_no_answer) {
        static const char *const heads[] = {
                "HTTP/1.1 20 OK\r\n\r\n",
                "HTTP/1.1 2000 OK\r\n\r\n",
                "HTTP/1.1 099 OK\r\n\r\n",
                "HTTP/1.1 600 OK\r\n\r\n",
                "HTTP/1.1  200 OK\r\n\r\n",
                "HTTP/1.2 200 OK\r\n\r\n",
                "HTTP/2 200 OK\r\n\r\n",
                "http/1.1 200 OK\r\n\r\n",
                "HTTP/1.1 200 O\001K\r\n\r\n",
                "\r\nHTTP/1.1 200 OK\r\n\r\n",
                "SSH-2.0-x",
                "HTTP/1.1 200 OK\r\nA\r\n\r\n",
                "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
                "HTTP/1.1 200 OK\r\nA: a\rB: c\r\n\r\n",
                "HTTP/1.1 200 OK\r\nA: a\x7f\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
                ResponseHead h;

                ASSERT_EQ(parse(heads[i], false, &h), -EBADMSG);
        }
}

TEST(limits) {
        ResponseHead h;
        size_t n;

        /* in pieces: nothing is said before the end is there */
        for (const char *s = "HTTP/1.1 200 OK\r\nA: b\r\n\r"; *s; s++)
                ASSERT_EQ(parse(s + strlen(s), false, &h), 0);
        ASSERT_EQ(parse("HTTP/1.1 200 OK\r\nA: b\r\n\r", false, &h), 0);

        n = (size_t) snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nA: ");
        memset(text + n, 'a', RESPONSE_HEAD_MAX - n);
        ASSERT_EQ(response_parse(text, RESPONSE_HEAD_MAX, false, &h), -E2BIG);

        n = (size_t) snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n");
        for (size_t i = 0; i <= RESPONSE_FIELDS_MAX; i++)
                n += (size_t) snprintf(text + n, sizeof text - n, "A: b\r\n");
        n += (size_t) snprintf(text + n, sizeof text - n, "\r\n");
        ASSERT_EQ(response_parse(text, n, false, &h), -E2BIG);

        ASSERT_EQ(response_parse(memcpy(text, "HTTP/1.1 200 OK\r\nA: a\0b\r\n\r\n", 28), 28, false, &h), -EBADMSG);
}

TEST(fields) {
        ResponseHead h;

        ASSERT_TRUE(parse("HTTP/1.1 200 OK\r\nOne: \t a b \t\r\nTwo:\r\nTwo: c\r\n\r\n", false, &h) > 0);
        ASSERT_EQ(h.n_fields, 3);
        ASSERT_STREQ(response_field(&h, "one"), "a b");
        ASSERT_NULL(response_field(&h, "two"));
        ASSERT_NULL(response_field(&h, "three"));
        ASSERT_TRUE(token_list_contains("keep-alive,\tUpgrade", "upgrade"));
        ASSERT_FALSE(token_list_contains("upgraded, up", "upgrade"));
}

/* The body of a chunked text that comes in pieces of so many bytes; what is left over is not looked at. */
static int decode(const char *chunked, size_t piece, char *ret) {
        size_t at = 0, n = strlen(chunked);
        ChunkDecoder d = {};

        *ret = 0;
        while (at < n && !d.done) {
                const char *data;
                size_t n_data;
                ssize_t used = chunk_decode(&d, chunked + at, MIN(piece, n - at), &data, &n_data);

                if (used < 0)
                        return (int) used;
                strncat(ret, data, n_data);
                at += (size_t) used;
        }
        return d.done ? (int) at : 0;
}

TEST(chunks) {
        static const struct {
                const char *text, *body;
                int result;
        } cases[] = {
                { "5\r\nhello\r\n0\r\n\r\n", "hello", 15 },
                { "5;x=y\r\nhello\r\n3\r\n, w\r\n000\r\n\r\nmore", "hello, w", 29 },
                { "A\r\n0123456789\r\n0\r\nT: x\r\nU: y\r\n\r\n", "0123456789", 32 },
                { "0\r\n\r\n", "", 5 },
                { "5\r\nhel", "hel", 0 },
                { "", "", 0 },
                { "\r\nhello", "", -EBADMSG },
                { "x\r\n", "", -EBADMSG },
                { "-5\r\n", "", -EBADMSG },
                { "0x5\r\n", "", -EBADMSG },
                { "5\nhello\r\n", "", -EBADMSG },
                { "5\r\nhello!\r\n", "hello", -EBADMSG },
                { "5\r\nhello\r\r\n", "hello", -EBADMSG },
                { "1000000000000000\r\n", "", -EBADMSG },
                { "0\r\nT: x\n\r\n", "", -EBADMSG },
        };
        char body[64];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t piece = 1; piece < 40; piece++) {
                        ASSERT_EQ(decode(cases[i].text, piece, body), cases[i].result);
                        ASSERT_STREQ(body, cases[i].body);
                }
}
