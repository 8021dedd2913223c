/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/unit/sandboxd/http-fixture.h"

#define WANTED "Connection: keep-alive, Upgrade\r\nUpgrade: echo\r\n"
#define UPGRADE "GET /sandbox/upgrade HTTP/1.1\r\n" HOST WANTED "\r\n"
#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* Runs the loop until what has come is at least n bytes and ends with end, or the connection has ended. */
static size_t receive_raw(Fixture *f, int fd, char *buffer, size_t size, const char *end) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        size_t n = 0;

        for (;;) {
                ssize_t k;

                ASSERT_OK(sd_event_run(f->event, USEC_PER_MSEC));
                k = recv(fd, buffer + n, size - 1 - n, MSG_DONTWAIT);
                if (k == 0 || (k < 0 && errno != EAGAIN))
                        break;
                n += (size_t) MAX(k, (ssize_t) 0);
                buffer[n] = 0;
                if (end && n >= strlen(end) && streq(buffer + n - strlen(end), end))
                        break;
                ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - start < PATIENCE_USEC);
        }
        buffer[n] = 0;
        return n;
}

static void expect_raw(Fixture *f, int fd, const char *text) {
        char buffer[4096];

        (void) receive_raw(f, fd, buffer, sizeof buffer, text);
        ASSERT_STREQ(buffer, text);
}

static int upgraded(Fixture *f, const char *request) {
        char head[4096];
        int fd = fixture_connect(f);

        fixture_send_text(f, fd, request);
        (void) receive_raw(f, fd, head, sizeof head, "\r\n\r\n");
        ASSERT_TRUE(startswith(head, "HTTP/1.1 101 ") != NULL);
        ASSERT_NOT_NULL(strcasestr(head, "\r\nConnection: Upgrade\r\n"));
        ASSERT_NOT_NULL(strcasestr(head, "\r\nUpgrade: echo\r\n"));
        ASSERT_TRUE(!strcasestr(head, "\r\nContent-Length:"));
        return fd;
}

TEST(the_socket_is_the_handlers) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = upgraded(&f, UPGRADE);
        ASSERT_EQ(http_server_n_connections(f.server), 1);
        fixture_send_text(&f, fd, "one");
        expect_raw(&f, fd, "one");
        fixture_send_text(&f, fd, "two");
        expect_raw(&f, fd, "two");

        /* others are served meanwhile */
        for (int i = 0; i < 3; i++) {
                Reply r;

                fixture_exchange(&f, HEALTH, strlen(HEALTH), &r);
                ASSERT_EQ(r.status, 200);
                reply_done(&r);
        }
        ASSERT_EQ(fixture_state.n_freed, 0);
        fixture_send_text(&f, fd, "q");
        expect_raw(&f, fd, "q");
        expect_raw(&f, fd, ""); /* the end */
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        close(fd);
        fixture_stop(&f);
        ASSERT_EQ(fixture_state.n_freed, 1);
}

TEST(bytes_behind_the_request_are_not_lost) {
        char all[4096];
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, UPGRADE "early q");
        (void) receive_raw(&f, fd, all, sizeof all, NULL);
        ASSERT_NOT_NULL(strstr(all, "\r\n\r\nearly q"));
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        close(fd);
        fixture_stop(&f);
}

TEST(the_end_of_the_peer) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = upgraded(&f, UPGRADE);
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        fixture_state.n_freed = 0;

        /* a list in pieces, as some intermediaries make them */
        fd = upgraded(&f, "GET /sandbox/upgrade HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nUpgrade: other\r\n"
                          "Connection: Upgrade\r\nUpgrade: ECHO\r\n\r\n");
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);

        /* before the reply: whether it was handed over or not, it is told once */
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, UPGRADE);
        shutdown(fd, SHUT_RDWR);
        close(fd);
        fixture_run_for(&f, 20 * USEC_PER_MSEC);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_TRUE(fixture_state.n_freed <= 2);
        ASSERT_TRUE(!fixture_state.upgrade);
        fixture_stop(&f);
}

TEST(no_time_limit_holds_any_more) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = upgraded(&f, UPGRADE);
        fixture_run_for(&f, 2 * USEC_PER_SEC);
        fixture_send_text(&f, fd, "still");
        expect_raw(&f, fd, "still");
        ASSERT_EQ(http_server_drain(f.server), 1);
        close(fd);
        fixture_stop(&f);
}

TEST(the_end_of_the_server) {
        Fixture f;
        char byte;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = upgraded(&f, UPGRADE);
        fixture_stop(&f);
        ASSERT_EQ(fixture_state.n_freed, 1);
        ASSERT_TRUE(!fixture_state.upgrade);
        ASSERT_EQ(recv(fd, &byte, 1, 0), 0);
        close(fd);
}

TEST(what_is_no_upgrade) {
        static const struct { const char *request; unsigned status; } cases[] = {
                { "GET /sandbox/upgrade HTTP/1.1\r\n" HOST "\r\n",                                       400 },
                { "GET /sandbox/upgrade HTTP/1.1\r\n" HOST "Upgrade: echo\r\n\r\n",                     400 },
                { "GET /sandbox/upgrade HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: x\r\n\r\n", 400 },
                { "GET /sandbox/upgrade HTTP/1.0\r\n" HOST WANTED "\r\n",                                400 },
                { "GET /sandbox/upgrade HTTP/1.1\r\n" HOST WANTED "Content-Length: 2\r\n\r\n{}",        400 },
                { "GET /sandbox/upgrade HTTP/1.1\r\n" HOST WANTED "Origin: http://x.example\r\n\r\n",   403 },
                { "GET /sandbox/upgrade HTTP/1.1\r\nHost: x.example\r\n" WANTED "\r\n",                421 },
                { "GET /sandbox/health HTTP/1.1\r\n" HOST WANTED "\r\n",                                 200 },
                { "GET /sandbox/nowhere HTTP/1.1\r\n" HOST WANTED "\r\n",                                404 },
        };
        Fixture f;

        routes_start(&f, NULL, NULL);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Reply r;

                fixture_exchange(&f, cases[i].request, strlen(cases[i].request), &r);
                ASSERT_EQ(r.status, cases[i].status);
                reply_done(&r);
        }
        ASSERT_EQ(fixture_state.n_freed, 0);
        fixture_stop(&f);
}

TEST(a_token_is_needed) {
        static const char *const settings[] = { "III_AUTH_TOKEN=secret", NULL };
        Fixture f;
        Reply r;
        int fd;

        routes_start(&f, settings, NULL);
        fixture_exchange(&f, UPGRADE, strlen(UPGRADE), &r);
        ASSERT_EQ(r.status, 401);
        reply_done(&r);
        fd = upgraded(&f, "GET /sandbox/upgrade HTTP/1.1\r\n" HOST WANTED "Authorization: Bearer secret\r\n\r\n");
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        fixture_stop(&f);
}
