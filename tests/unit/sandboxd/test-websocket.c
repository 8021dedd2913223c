/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/unit/sandboxd/http-fixture.h"

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* of RFC 6455, 1.3 */
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define ASKED "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define GET_SOCKET "GET /sandbox/socket HTTP/1.1\r\n" HOST
#define HANDSHAKE GET_SOCKET ASKED KEY VERSION "\r\n"
#define PATIENCE_USEC (20 * USEC_PER_SEC)
#define MASK 0x5a

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

typedef struct Frame {
        unsigned first;         /* 0: the connection has ended */
        size_t n;
        char data[70000];
} Frame;

static size_t receive(Fixture *f, int fd, void *buffer, size_t n) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        size_t done = 0;

        while (done < n) {
                ssize_t k;

                ASSERT_OK(sd_event_run(f->event, USEC_PER_MSEC));
                k = recv(fd, (char *) buffer + done, n - done, MSG_DONTWAIT);
                if (k == 0 || (k < 0 && errno != EAGAIN))
                        break;
                done += (size_t) MAX(k, (ssize_t) 0);
                ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - start < PATIENCE_USEC);
        }
        return done;
}

/* A frame of the server: never masked, lengths in their shortest form. */
static const Frame *receive_frame(Fixture *f, int fd) {
        static Frame frame;
        unsigned char head[4];

        frame = (Frame) {};
        if (receive(f, fd, head, 2) < 2)
                return &frame;
        ASSERT_EQ(head[1] & 0x80, 0);
        frame.first = head[0];
        frame.n = head[1];
        if (frame.n == 126) {
                ASSERT_EQ(receive(f, fd, head + 2, 2), 2);
                frame.n = (size_t) head[2] << 8 | head[3];
                ASSERT_TRUE(frame.n > 125);
        }
        ASSERT_TRUE(frame.n < sizeof frame.data);
        ASSERT_EQ(receive(f, fd, frame.data, frame.n), frame.n);
        return &frame;
}

static void expect_frame(Fixture *f, int fd, unsigned first, const char *text) {
        const Frame *frame = receive_frame(f, fd);

        ASSERT_EQ(frame->first, first);
        ASSERT_STREQ(frame->data, text);
}

static void expect_close(Fixture *f, int fd, unsigned code) {
        const Frame *frame = receive_frame(f, fd);

        ASSERT_EQ(frame->first, FIN | CLOSE);
        ASSERT_EQ((unsigned char) frame->data[0] << 8 | (unsigned char) frame->data[1], code);
}

static void send_frame(Fixture *f, int fd, unsigned first, const void *data, size_t n) {
        unsigned char frame[70000] = { (unsigned char) first };
        size_t head = 2;

        if (n < 126)
                frame[1] = (unsigned char) (0x80 | n);
        else {
                frame[1] = 0x80 | 126;
                frame[2] = (unsigned char) (n >> 8);
                frame[3] = (unsigned char) n;
                head = 4;
        }
        memset(frame + head, MASK, 4);
        for (size_t i = 0; i < n; i++)
                frame[head + 4 + i] = ((const unsigned char *) data)[i] ^ MASK;
        fixture_send(f, fd, frame, head + 4 + n);
}

static void send_text_frame(Fixture *f, int fd, const char *text) {
        send_frame(f, fd, FIN | TEXT, text, strlen(text));
}

static int handshake(Fixture *f) {
        int fd = fixture_connect(f);
        char head[4096] = "";

        fixture_send_text(f, fd, HANDSHAKE);
        for (size_t n = 0; !strstr(head, "\r\n\r\n"); n++)
                ASSERT_EQ(receive(f, fd, head + n, 1), 1);
        ASSERT_TRUE(startswith(head, "HTTP/1.1 101 ") != NULL);
        ASSERT_NOT_NULL(strstr(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        ASSERT_TRUE(!strcasestr(head, "Sec-WebSocket-Extensions"));
        return fd;
}

/* What ends the connection has to come to an end on both sides, and be told once. */
static void expect_end(Fixture *f, int fd) {
        char byte;

        ASSERT_EQ(receive(f, fd, &byte, 1), 0);
        close(fd);
        fixture_run_until(f, no_connection, f->server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        fixture_stop(f);
        ASSERT_EQ(fixture_state.n_freed, 1);
}

TEST(what_is_no_handshake) {
        static const struct { const char *request; unsigned status; const char *says; } cases[] = {
                { GET_SOCKET "\r\n",                                           426, "\r\nUpgrade: websocket\r\n" },
                { GET_SOCKET KEY VERSION "\r\n",                               426, "\r\nUpgrade: websocket\r\n" },
                { GET_SOCKET "Connection: upgrade\r\nUpgrade: h2c\r\n" KEY VERSION "\r\n", 426, NULL },
                { "HEAD /sandbox/socket HTTP/1.1\r\n" HOST "Connection: close, upgrade\r\nUpgrade: websocket\r\n" KEY
                  VERSION "\r\n", 426, NULL },
                { "GET /sandbox/socket HTTP/1.0\r\n" HOST ASKED KEY VERSION "\r\n", 426, NULL },
                { GET_SOCKET ASKED VERSION "\r\n",                             400, NULL },
                { GET_SOCKET ASKED KEY "\r\n",                                 400, NULL },
                { GET_SOCKET ASKED KEY "Sec-WebSocket-Version: 8\r\n\r\n",     426, "\r\nSec-WebSocket-Version: 13\r\n" },
                { GET_SOCKET ASKED VERSION "Sec-WebSocket-Key: short\r\n\r\n", 400, NULL },
                { GET_SOCKET ASKED VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!=\r\n\r\n", 400, NULL },
                { GET_SOCKET ASKED VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBpcyBsb25n\r\n\r\n", 400, NULL },
        };
        Fixture f;

        routes_start(&f, NULL, NULL);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Reply r;

                fixture_exchange(&f, cases[i].request, strlen(cases[i].request), &r);
                ASSERT_EQ(r.status, cases[i].status);
                ASSERT_TRUE(!cases[i].says || strcasestr(r.text, cases[i].says));
                reply_done(&r);
        }
        ASSERT_EQ(fixture_state.n_freed, 0);
        fixture_stop(&f);
}

TEST(messages_and_fragments) {
        char large[1000];
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        send_text_frame(&f, fd, "h\303\244");
        expect_frame(&f, fd, FIN | TEXT, "h\303\244");
        send_frame(&f, fd, FIN | BINARY, "\377\376", 2);
        expect_frame(&f, fd, FIN | BINARY, "\377\376");
        send_frame(&f, fd, FIN | TEXT, "", 0);
        expect_frame(&f, fd, FIN | TEXT, "");
        memset(large, 'l', sizeof large);
        send_frame(&f, fd, FIN | BINARY, large, sizeof large);
        ASSERT_EQ(receive_frame(&f, fd)->n, sizeof large);

        /* a character cut in two, a ping between the pieces */
        send_frame(&f, fd, TEXT, "a\303", 2);
        send_frame(&f, fd, FIN | PING, "here?", 5);
        send_frame(&f, fd, 0, "\244", 1);
        send_frame(&f, fd, FIN, "b", 1);
        expect_frame(&f, fd, FIN | PONG, "here?");
        expect_frame(&f, fd, FIN | TEXT, "a\303\244b");
        send_frame(&f, fd, FIN | PONG, "nobody asked", 12);

        send_frame(&f, fd, FIN | CLOSE, "\003\350bye", 5);
        expect_close(&f, fd, 1000);
        expect_end(&f, fd);
}

TEST(byte_by_byte) {
        static const unsigned char frame[] = { FIN | TEXT, 0x83, 0, 0, 0, 0, 'o', 'n', 'e' };
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        for (size_t i = 0; i < sizeof frame; i++) {
                fixture_send(&f, fd, frame + i, 1);
                fixture_run_for(&f, USEC_PER_MSEC);
        }
        expect_frame(&f, fd, FIN | TEXT, "one");
        close(fd); /* without a word */
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        fixture_stop(&f);
}

TEST(what_is_no_frame) {
#define BAD(bytes, code) { bytes, sizeof bytes - 1, code }
        static const struct { const char *bytes; size_t n; unsigned code; } cases[] = {
                BAD("\x81\x01x",                                  1002), /* no mask */
                BAD("\xc1\x81\0\0\0\0x",                          1002), /* a reserved bit */
                BAD("\x83\x80\0\0\0\0",                           1002), /* opcodes that are none */
                BAD("\x8b\x80\0\0\0\0",                           1002),
                BAD("\x09\x80\0\0\0\0",                           1002), /* a control frame in pieces */
                BAD("\x89\xfe\0\x7e\0\0\0\0",                     1002), /* one that is too long */
                BAD("\x80\x80\0\0\0\0",                           1002), /* a continuation of nothing */
                BAD("\x01\x80\0\0\0\0\x81\x80\0\0\0\0",           1002), /* a message within a message */
                BAD("\x82\xfe\0\x05\0\0\0\0xxxxx",                1002), /* a length that is longer than it must be */
                BAD("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0",         1002), /* more than 2^63 bytes */
                BAD("\x88\x81\0\0\0\0x",                          1002), /* half a close code */
                BAD("\x88\x82\0\0\0\0\x03\xed",                   1002), /* one that must not be sent: 1005 */
                BAD("\x88\x84\0\0\0\0\x03\xe8\xff\xff",           1007), /* a reason that is no UTF-8 */
                BAD("\x81\x82\0\0\0\0\xc3\x28",                   1007), /* a text that is none */
                BAD("\x81\x81\0\0\0\0\xc3",                       1007), /* one that ends within a character */
                BAD("\x81\x83\0\0\0\0\xed\xa0\x80",               1007), /* half of a surrogate pair */
                BAD("\x82\xfe\x03\xe9\0\0\0\0x",                  1009), /* 1001 bytes */
                BAD("\x82\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0x",  1009),
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture f;
                int fd;

                routes_start(&f, NULL, NULL);
                fd = handshake(&f);
                fixture_send(&f, fd, cases[i].bytes, cases[i].n);
                expect_close(&f, fd, cases[i].code);
                expect_end(&f, fd);
        }
}

TEST(fragments_do_not_get_around_the_bound) {
        char piece[600] = "";
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        send_frame(&f, fd, BINARY, piece, sizeof piece);
        send_frame(&f, fd, 0, piece, sizeof piece);
        expect_close(&f, fd, 1009);
        expect_end(&f, fd);
}

TEST(a_close_of_ours) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        send_text_frame(&f, fd, "close");
        send_text_frame(&f, fd, "unheard");
        expect_frame(&f, fd, FIN | TEXT, "last");
        expect_close(&f, fd, 4001);
        ASSERT_EQ(http_server_n_connections(f.server), 1); /* the answer is waited for */
        send_frame(&f, fd, FIN | CLOSE, "\017\241", 2);
        expect_end(&f, fd);
}

TEST(the_server_ends) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        send_text_frame(&f, fd, "x");
        expect_frame(&f, fd, FIN | TEXT, "x");
        fixture_stop(&f);
        ASSERT_EQ(fixture_state.n_freed, 1);
        ASSERT_EQ(fixture_state.n_gone, 1);
        {
                unsigned char frame[4];

                ASSERT_EQ(recv(fd, frame, sizeof frame, MSG_WAITALL), 4);
                ASSERT_EQ(frame[0], FIN | CLOSE);
                ASSERT_EQ(frame[2] << 8 | frame[3], 1001);
        }
        close(fd);
}

static bool is_ended(void *userdata) {
        return ((FixtureState *) userdata)->n_freed > 0;
}

TEST(heartbeat) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = handshake(&f);
        for (int i = 0; i < 6; i++) { /* for longer than a silent one may stay */
                expect_frame(&f, fd, FIN | PING, "");
                send_frame(&f, fd, FIN | PONG, "", 0);
        }
        ASSERT_EQ(fixture_state.n_freed, 0);
        fixture_run_until(&f, is_ended, &fixture_state);
        close(fd);
        fixture_stop(&f);
}

TEST(a_paused_one_is_not_read) {
        static const char byte[1] = "x";
        uint64_t sent;
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        send_text_frame(&f, fd, "pause");
        for (int i = 0; i < 4; i++) /* what has been read together with it may still be heard */
                send_frame(&f, fd, FIN | BINARY, byte, 1);
        fixture_run_for(&f, 20 * USEC_PER_MSEC);
        sent = fixture_state.n_received;
        for (int i = 0; i < 50; i++)
                send_frame(&f, fd, FIN | BINARY, byte, 1);
        fixture_run_for(&f, 20 * USEC_PER_MSEC);
        ASSERT_EQ(fixture_state.n_received, sent);
        fixture_unpause_socket();
        for (int i = 0; i < 54; i++)
                expect_frame(&f, fd, FIN | BINARY, "x");
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        fixture_stop(&f);
}

TEST(who_does_not_read_is_not_made_for) {
        static char pings[6 * 20000];
        uint64_t made;
        size_t rss;
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = handshake(&f);
        send_text_frame(&f, fd, "flood");
        fixture_run_for(&f, 100 * USEC_PER_MSEC);
        made = fixture_state.n_made;
        fixture_run_for(&f, 100 * USEC_PER_MSEC);
        ASSERT_EQ(fixture_state.n_made, made); /* the kernel's buffers are full, and the queue */

        /* nor do its pings make us keep answers */
        for (size_t i = 0; i < sizeof pings; i += 6)
                memcpy(pings + i, "\x89\x80\0\0\0\0", 6);
        rss = rss_bytes();
        for (int i = 0; i < 100; i++)
                if (send(fd, pings, sizeof pings, MSG_NOSIGNAL | MSG_DONTWAIT) <= 0)
                        fixture_run_for(&f, USEC_PER_MSEC);
        ASSERT_TRUE(rss_bytes() <= rss + 4 * MiB);
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        fixture_stop(&f);
}

TEST(who_stops_reading_is_ended) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = handshake(&f);
        send_text_frame(&f, fd, "flood");
        fixture_run_until(&f, is_ended, &fixture_state);
        close(fd);
        fixture_stop(&f);
}
