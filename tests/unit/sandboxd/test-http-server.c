/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/unit/sandboxd/http-fixture.h"

static bool request_gone(void *userdata) {
        return ((FixtureState *) userdata)->n_gone > 0;
}

TEST(keep_alive_and_pipelining) {
        Fixture f;
        Reply r;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        for (size_t i = 0; i < 100; i++) {
                fixture_send_text(&f, fd, HEALTH);
                fixture_expect_body(&f, fd, 200, "{\"status\":\"ok\"}");
        }
        ASSERT_EQ(http_server_n_connections(f.server), 1);

        fixture_send_text(&f, fd, HEALTH HEALTH "GET /sandbox/nothing HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        while (fixture_state.n_handled < 102)
                ASSERT_OK(sd_event_run(f.event, USEC_PER_MSEC));
        fixture_run_until(&f, no_connection, f.server);
        fixture_receive(&f, fd, &r);
        reply_done(&r);
        close(fd);
        fixture_stop(&f);
}

TEST(input_is_merged) {
        static const char request[] = "DELETE /sandbox/echo/from%20path?id=query&x=q&y=a+b HTTP/1.1\r\n" HOST
                                      "Content-Type: application/json\r\nContent-Length: 33\r\n\r\n"
                                      "{\"id\":\"body\", \"x\":1, \"z\":[true] }";
        Fixture f;
        Reply r;

        routes_start(&f, NULL, NULL);
        fixture_exchange(&f, request, strlen(request), &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_body(&r), "{\"id\":\"from path\",\"x\":1,\"y\":\"a b\",\"z\":[true]}");
        reply_done(&r);
        fixture_stop(&f);
}

/* A body byte by byte, with the headers too. */
TEST(slow_bytes) {
        static const char request[] = "POST /sandbox/echo HTTP/1.1\r\n" HOST
                                      "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        for (size_t i = 0; request[i]; i++) {
                fixture_send(&f, fd, request + i, 1);
                fixture_run_for(&f, 100);
        }
        fixture_expect_body(&f, fd, 200, "{\"a\":1}");
        close(fd);
        fixture_stop(&f);
}

TEST(reply_later) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        for (size_t i = 0; i < 3; i++) {
                fixture_send_text(&f, fd, LATER);
                fixture_run_until(&f, request_pends, &fixture_state);
                fixture_run_for(&f, USEC_PER_MSEC);
                ASSERT_OK(request_reply_json(TAKE_PTR(fixture_state.pending), 200, json_true()));
                fixture_expect_body(&f, fd, 200, "true");
        }
        ASSERT_EQ(fixture_state.n_gone, 0);
        close(fd);
        fixture_stop(&f);
}

TEST(second_reply_is_refused) {
        Request *request;
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, LATER);
        fixture_run_until(&f, request_pends, &fixture_state);
        request = TAKE_PTR(fixture_state.pending);
        ASSERT_OK(request_reply_json(request, 200, json_true()));
        ASSERT_EQ(request_reply_json(request, 200, json_false()), -EALREADY);
        fixture_expect_body(&f, fd, 200, "true");
        close(fd);
        fixture_stop(&f);
}

TEST(gone_while_waiting) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, LATER);
        fixture_run_until(&f, request_pends, &fixture_state);
        close(fd);
        fixture_run_until(&f, request_gone, &fixture_state);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_gone, 1);
        fixture_stop(&f);
        ASSERT_EQ(fixture_state.n_gone, 1);
}

/* nc -N: sends no more, but reads. */
TEST(half_closed_gets_its_reply) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, LATER);
        ASSERT_EQ(shutdown(fd, SHUT_WR), 0);
        fixture_run_until(&f, request_pends, &fixture_state);
        fixture_run_for(&f, 100 * USEC_PER_MSEC);
        ASSERT_NOT_NULL(fixture_state.pending);
        ASSERT_OK(request_reply_json(TAKE_PTR(fixture_state.pending), 200, json_true()));
        fixture_expect_body(&f, fd, 200, "true");
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        fixture_stop(&f);
}

TEST(server_ends_with_requests_under_way) {
        int fds[3];
        Fixture f;

        routes_start(&f, NULL, NULL);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = fixture_connect(&f);
        fixture_send_text(&f, fds[0], LATER);
        fixture_run_until(&f, request_pends, &fixture_state);
        fixture_send_text(&f, fds[1], "PUT /sandbox/upload?deny=1 HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n1");
        fixture_run_for(&f, 10 * USEC_PER_MSEC);
        fixture_stop(&f);
        ASSERT_EQ(fixture_state.n_gone, 1);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
}

TEST(large_stream_is_flat) {
        const uint64_t size = 256 * MiB;
        char request[128], *buffer = malloc(MiB);
        uint64_t received = 0;
        size_t before;
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        before = rss_bytes();
        snprintf(request, sizeof request, "GET /sandbox/stream?n=%llu HTTP/1.0\r\n\r\n", (unsigned long long) size);
        fixture_send_text(&f, fd, request);
        for (ssize_t n = 1; n != 0;) {
                ASSERT_OK(sd_event_run(f.event, USEC_PER_MSEC));
                while ((n = recv(fd, buffer, MiB, MSG_DONTWAIT)) > 0)
                        received += (uint64_t) n;
        }
        ASSERT_TRUE(received > size);
        ASSERT_EQ(fixture_state.n_made, size);
        ASSERT_TRUE(rss_bytes() < before + 8 * MiB);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        ASSERT_EQ(fixture_state.n_gone, 0);
        close(fd);
        fixture_stop(&f);
        free(buffer);
}

TEST(stream_in_pieces) {
        Fixture f;
        Reply r;
        int fd;

        routes_start(&f, NULL, NULL);
        fixture_state.source_waits = true;
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, "GET /sandbox/stream?n=5 HTTP/1.1\r\n" HOST "\r\n");
        fixture_run_until(&f, request_pends, &fixture_state);
        fixture_run_for(&f, 20 * USEC_PER_MSEC);
        fixture_state.source_waits = false;
        request_stream_wake(fixture_state.pending);
        fixture_receive(&f, fd, &r);
        ASSERT_STREQ(reply_body(&r), "5\r\nxxxxx\r\n0\r\n\r\n");
        reply_done(&r);
        ASSERT_EQ(fixture_state.n_freed, 1);
        ASSERT_EQ(fixture_state.n_gone, 0);

        /* The connection is usable afterwards. */
        fixture_send_text(&f, fd, HEALTH);
        fixture_expect_body(&f, fd, 200, "{\"status\":\"ok\"}");
        close(fd);
        fixture_stop(&f);
}

TEST(gone_in_a_stream) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fixture_state.source_waits = true;
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, "GET /sandbox/stream?n=5 HTTP/1.1\r\n" HOST "\r\n");
        fixture_run_until(&f, request_pends, &fixture_state);
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_gone, 1);
        ASSERT_EQ(fixture_state.n_freed, 1);
        fixture_stop(&f);
        ASSERT_EQ(fixture_state.n_freed, 1);
}

TEST(reader_stalls) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, "GET /sandbox/stream?n=268435456 HTTP/1.1\r\n" HOST "\r\n");
        fixture_run_until(&f, request_gone, &fixture_state);
        ASSERT_TRUE(fixture_state.n_made < 64 * MiB);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_freed, 1);
        close(fd);
        fixture_stop(&f);
}

TEST(head_only_of_a_stream) {
        Fixture f;
        Reply r;

        routes_start(&f, NULL, NULL);
        fixture_exchange(&f, "HEAD /sandbox/stream?n=5 HTTP/1.0\r\n\r\n", 37, &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_body(&r), "");
        ASSERT_EQ(fixture_state.n_made, 0);
        ASSERT_EQ(fixture_state.n_freed, 1);
        reply_done(&r);
        fixture_stop(&f);
}

static void upload(Fixture *f, uint64_t size, size_t *ret_rss) {
        _cleanup_free_ char *block = calloc(1, MiB);
        size_t before = rss_bytes(), peak = 0;
        char head[256], expect[64];
        int fd;

        memset(block, 1, MiB);
        fd = fixture_connect(f);
        snprintf(head, sizeof head, "PUT /sandbox/upload HTTP/1.1\r\n" HOST "Content-Length: %llu\r\n\r\n",
                 (unsigned long long) size);
        fixture_send_text(f, fd, head);
        for (uint64_t sent = 0; sent < size; sent += MiB) {
                fixture_send(f, fd, block, MIN(MiB, size - sent));
                peak = MAX(peak, rss_bytes());
        }
        snprintf(expect, sizeof expect, "{\"size\":%llu}", (unsigned long long) size);
        fixture_expect_body(f, fd, 200, expect);
        close(fd);
        *ret_rss = peak > before ? peak - before : 0;
}

TEST(large_upload_is_flat) {
        size_t grown;
        Fixture f;

        routes_start(&f, NULL, NULL);
        upload(&f, 256 * MiB + 3, &grown);
        ASSERT_EQ(fixture_state.sum, 3);
        ASSERT_TRUE(grown < 8 * MiB);
        fixture_stop(&f);
}

static int on_wake(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) usec;
        (void) userdata;
        if (fixture_state.sink_waits) {
                fixture_state.sink_waits = false;
                request_body_wake(fixture_state.pending);
        }
        (void) sd_event_source_set_time_relative(source, 50);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

TEST(upload_with_back_pressure) {
        sd_event_source *timer = NULL;
        size_t grown;
        Fixture f;

        routes_start(&f, NULL, NULL);
        fixture_state.sink_step = 10000;
        ASSERT_OK(sd_event_add_time_relative(f.event, &timer, CLOCK_MONOTONIC, 50, 1, on_wake, NULL));
        upload(&f, 4 * MiB + 1, &grown);
        ASSERT_EQ(fixture_state.sum, 1);
        sd_event_source_disable_unref(timer);
        fixture_stop(&f);
}

TEST(upload_refused) {
        static const char *const settings[] = { "SANDBOX_UPLOAD_MAX=1K", NULL };
        static const char head[] = "PUT /sandbox/upload%s HTTP/1.1\r\n" HOST "%s\r\n\r\n";
        _cleanup_free_ char *block = calloc(1, 4 * MiB);
        char text[256];
        Fixture f;
        int fd;

        routes_start(&f, settings, NULL);

        /* by the handler, with the rest of a large body still on its way */
        snprintf(text, sizeof text, head, "?deny=1", "Content-Length: 1000");
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, text);
        fixture_send(&f, fd, block, 1000);
        fixture_expect_body(&f, fd, 403, "{\"error\":\"No\"}");
        close(fd);

        /* by its announced length: the reply arrives although we send all of it */
        snprintf(text, sizeof text, head, "", "Content-Length: 4194304");
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, text);
        fixture_send(&f, fd, block, 4 * MiB);
        fixture_expect_body(&f, fd, 413, "{\"error\":\"The request body is too large\"}");
        close(fd);

        /* in its middle */
        snprintf(text, sizeof text, head, "", "Transfer-Encoding: chunked");
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, text);
        fixture_send_text(&f, fd, "100000\r\n");
        fixture_send(&f, fd, block, 1 * MiB);
        fixture_expect_body(&f, fd, 413, "{\"error\":\"The upload is too large\"}");
        close(fd);
        fixture_run_until(&f, no_connection, f.server);
        fixture_stop(&f);
}

TEST(gone_in_an_upload) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, "PUT /sandbox/upload HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc");
        fixture_run_until(&f, request_pends, &fixture_state);
        close(fd);
        fixture_run_until(&f, request_gone, &fixture_state);
        fixture_run_until(&f, no_connection, f.server);
        ASSERT_EQ(fixture_state.n_gone, 1);
        fixture_stop(&f);
}

TEST(continue_is_sent) {
        Fixture f;
        Reply r;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd,
                          "PUT /sandbox/upload HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        fixture_run_until(&f, request_pends, &fixture_state);
        fixture_run_for(&f, 5 * USEC_PER_MSEC);
        fixture_send_text(&f, fd, "abc");
        fixture_run_for(&f, 20 * USEC_PER_MSEC);
        shutdown(fd, SHUT_WR);
        fixture_receive(&f, fd, &r);
        ASSERT_NOT_NULL(strstr(r.text, "100 Continue\r\n"));
        ASSERT_NOT_NULL(strstr(r.text, "{\"size\":3}"));
        reply_done(&r);
        close(fd);

        /* Refused at once, the body is never asked for. */
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, "PUT /sandbox/upload?deny=1 HTTP/1.1\r\n" HOST
                                  "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        fixture_expect_body(&f, fd, 403, "{\"error\":\"No\"}");
        close(fd);
        fixture_stop(&f);
}

TEST(file_reply) {
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = fixture_connect(&f);
        for (size_t i = 0; i < 2; i++) {
                fixture_send_text(&f, fd, "GET /sandbox/file HTTP/1.1\r\n" HOST "\r\n");
                fixture_expect_body(&f, fd, 200, "23456");
        }
        close(fd);
        fixture_stop(&f);
}

/* What is there is sent, and then the end of the connection says that it was not all. */
TEST(file_that_shrinks) {
        static const char request[] = "GET /sandbox/file?shrunk=1 HTTP/1.1\r\n" HOST "\r\n";
        Fixture f;
        Reply r;

        routes_start(&f, NULL, NULL);
        fixture_exchange(&f, request, strlen(request), &r);
        ASSERT_EQ(r.status, 200);
        ASSERT_TRUE(r.closed);
        ASSERT_STREQ(reply_body(&r), "23456789");
        reply_done(&r);
        fixture_stop(&f);
}

TEST(large_json_bodies) {
        _cleanup_free_ char *body = malloc(4 * MiB);
        static const char prefix[] = "{\"content\":\"";
        const size_t n = 2 * MiB;
        char head[256];
        Fixture f;
        Reply r;
        int fd;

        memset(body, 'a', n);
        memcpy(body, prefix, strlen(prefix));
        memcpy(body + n - 2, "\"}", 3);
        routes_start(&f, NULL, NULL);
        for (size_t i = 0; i < 2; i++) {
                fd = fixture_connect(&f);
                snprintf(head, sizeof head, "POST /sandbox/%s HTTP/1.1\r\n" HOST
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", i ? "large" : "echo", n);
                fixture_send_text(&f, fd, head);
                fixture_send(&f, fd, body, n);
                fixture_receive(&f, fd, &r);
                ASSERT_EQ(r.status, i ? 200 : 413);
                if (i)
                        ASSERT_STREQ(reply_body(&r), body);
                reply_done(&r);
                close(fd);
        }
        fixture_stop(&f);
}
