/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/http/sse.h"
#include "tests/unit/sandboxd/http-fixture.h"

#define EVENTS "GET /sandbox/stream?n=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"

typedef struct State {
        sd_event *event;
        SseStream *stream;
        unsigned n_gone;
} State;

static void on_gone(SseStream *s, void *userdata) {
        State *state = userdata;

        assert(state->stream == s);
        state->stream = NULL;
        state->n_gone++;
}

static int handle_events(Request *r, sd_bus_error *error) {
        State *state = request_userdata(r);

        (void) error;
        return sse_stream_new(r, state->event, on_gone, state, &state->stream);
}

static const Route routes[] = {
        { "GET", "/stream", handle_events, 0, "" },
};

static const RouteTable table = { &dialect_sandbox, "/sandbox", routes, ELEMENTSOF(routes) };

static void start(Fixture *f, State *state) {
        static const HttpTimes times = { USEC_PER_SEC, USEC_PER_SEC, USEC_PER_SEC, 10 * USEC_PER_SEC,
                                         50 * USEC_PER_MSEC, 20 * USEC_PER_MSEC };

        fixture_start(f, NULL, NULL, state);
        http_server_free(f->server);
        *state = (State) { .event = f->event };
        ASSERT_OK(http_server_new(
                &(HttpServerOptions) {
                        .event = f->event,
                        .settings = &f->settings,
                        .tables = &table,
                        .n_tables = 1,
                        .tcp_fds = &f->listen_fd,
                        .n_tcp = 1,
                        .auth = f->auth,
                        .times = &times,
                        .userdata = state,
                },
                &f->server));
}

static bool has_stream(void *userdata) {
        return ((State *) userdata)->stream;
}

static bool has_no_stream(void *userdata) {
        return !((State *) userdata)->stream;
}

/* The payload of a chunked body, in place. */
static char *dechunk(char *body) {
        char *out = body, *p = body;

        for (;;) {
                char *data;
                size_t n = strtoul(p, &data, 16);

                data += 2;
                if (n == 0)
                        break;
                memmove(out, data, n);
                out += n;
                p = data + n + 2;
        }
        *out = 0;
        return body;
}

TEST(frames) {
        Fixture f;
        State s;
        Reply r;
        int fd;

        start(&f, &s);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, EVENTS);
        fixture_run_until(&f, has_stream, &s);
        ASSERT_EQ(sse_stream_send(s.stream, json_pack("{s:s, s:s, s:I}", "type", "stdout", "data", "hello\n",
                                                      "timestamp", (json_int_t) 1700000000000)), 1);
        fixture_run_for(&f, 5 * USEC_PER_MSEC);
        ASSERT_EQ(sse_stream_send(s.stream, json_pack("{s:s}", "data", "\ndata: x\n\nevent: y\r\n")), 1);
        sse_stream_end(TAKE_PTR(s.stream));
        fixture_receive(&f, fd, &r);
        ASSERT_NOT_NULL(strstr(r.text, "\r\nContent-Type: text/event-stream\r\n"));
        ASSERT_NOT_NULL(strstr(r.text, "\r\nCache-Control: no-cache, no-store\r\n"));
        ASSERT_STREQ(dechunk(r.text + r.head_size),
                     "data: {\"type\":\"stdout\",\"data\":\"hello\\n\",\"timestamp\":1700000000000}\n\n"
                     "data: {\"data\":\"\\ndata: x\\n\\nevent: y\\r\\n\"}\n\n");
        reply_done(&r);
        ASSERT_EQ(s.n_gone, 0);
        close(fd);
        fixture_stop(&f);
}

TEST(client_goes) {
        Fixture f;
        State s;
        int fd;

        start(&f, &s);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, EVENTS);
        fixture_run_until(&f, has_stream, &s);
        close(fd);
        fixture_run_until(&f, has_no_stream, &s);
        ASSERT_EQ(s.n_gone, 1);
        fixture_stop(&f);
}

TEST(server_goes) {
        Fixture f;
        State s;
        int fd;

        start(&f, &s);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, EVENTS);
        fixture_run_until(&f, has_stream, &s);
        fixture_stop(&f);
        ASSERT_EQ(s.n_gone, 1);
        close(fd);
}

/* A reader that stops holds nobody up; later it sees what is missing, and that all the rest is in order. */
TEST(slow_reader_sees_a_gap) {
        enum { N = 40000 };
        unsigned long long sent = 0, dropped = 0, seen = 0, last = 0, gaps = 0;
        char pad[201] = "", *body;
        Fixture f;
        size_t before;
        State s;
        Reply r;
        int fd;

        memset(pad, 'p', sizeof pad - 1);
        start(&f, &s);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, EVENTS);
        fixture_run_until(&f, has_stream, &s);
        before = rss_bytes();
        for (size_t i = 1; i <= N; i++) {
                if (sse_stream_send(s.stream, json_pack("{s:I, s:s}", "i", (json_int_t) i, "pad", pad)) > 0)
                        sent++;
                else
                        dropped++;
                if (i % 100 == 0)
                        fixture_run_for(&f, 100);
        }
        ASSERT_TRUE(dropped > 0);
        ASSERT_TRUE(rss_bytes() < before + 8 * MiB);
        sse_stream_end(TAKE_PTR(s.stream));
        fixture_receive(&f, fd, &r);

        body = dechunk(r.text + r.head_size);
        for (char *line; (line = strsep(&body, "\n"));) {
                unsigned long long n;

                if (sscanf(line, "data: {\"i\":%llu,", &n) == 1) {
                        ASSERT_TRUE(n > last);
                        last = n;
                        seen++;
                } else if (sscanf(line, ": gap %llu", &n) == 1)
                        gaps += n;
        }
        ASSERT_EQ(seen, sent);
        ASSERT_EQ(gaps, dropped);
        reply_done(&r);
        close(fd);
        fixture_stop(&f);
}
