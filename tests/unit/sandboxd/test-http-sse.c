/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/http/sse.h"
#include "tests/unit/sandboxd/http-fixture.h"

#define EVENTS "GET /sandbox/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define FRAME_MAX 256U

/* Makes n_wanted numbered frames. */
typedef struct State {
        sd_event *event;
        Request *request; /* while its stream lives */
        unsigned n_made, n_wanted, n_freed;
        bool waits, endless;
} State;

static ssize_t next(void *userdata, char *frame) {
        State *s = userdata;

        if (s->waits)
                return 0;
        if (s->n_made == s->n_wanted)
                return s->endless ? 0 : -ENODATA;
        return snprintf(frame, FRAME_MAX, "data: {\"i\":%u,\"pad\":\"%0200d\"}\n\n", ++s->n_made, 0);
}

static void on_free(void *userdata) {
        State *s = userdata;

        s->request = NULL;
        s->n_freed++;
}

static int handle_events(Request *r, sd_bus_error *error) {
        State *s = request_userdata(r);

        (void) error;
        s->request = r;
        return MIN(request_reply_events(r, s->event, &(SseSource) { .next = next, .free = on_free, .userdata = s,
                                                                   .frame_max = FRAME_MAX }), 0);
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
        state->event = f->event;
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
        return ((State *) userdata)->request;
}

static bool has_no_stream(void *userdata) {
        return !((State *) userdata)->request;
}

static int begin(Fixture *f, State *s) {
        const int size = 64 * KiB;
        int fd;

        start(f, s);
        fd = fixture_connect(f);
        ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
        fixture_send_text(f, fd, EVENTS);
        fixture_run_until(f, has_stream, s);
        return fd;
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

/* All frames, in order and whole. */
static void expect_frames(const Reply *r, unsigned n) {
        char *body = dechunk(r->text + r->head_size), pad[201];

        for (unsigned i = 1; i <= n; i++) {
                char expect[FRAME_MAX];

                memset(pad, '0', sizeof pad - 1);
                pad[sizeof pad - 1] = 0;
                snprintf(expect, sizeof expect, "data: {\"i\":%u,\"pad\":\"%s\"}", i, pad);
                ASSERT_STREQ(strsep(&body, "\n"), expect);
                ASSERT_STREQ(strsep(&body, "\n"), "");
        }
        ASSERT_STREQ(body, "");
}

TEST(frames) {
        State s = { .n_wanted = 3, .waits = true };
        Fixture f;
        Reply r;
        int fd;

        fd = begin(&f, &s);
        fixture_run_for(&f, 5 * USEC_PER_MSEC);
        ASSERT_EQ(s.n_made, 0);
        s.waits = false;
        request_stream_wake(s.request);
        fixture_receive(&f, fd, &r);
        ASSERT_NOT_NULL(strstr(r.text, "\r\nContent-Type: text/event-stream\r\n"));
        ASSERT_NOT_NULL(strstr(r.text, "\r\nCache-Control: no-cache, no-store\r\n"));
        expect_frames(&r, 3);
        reply_done(&r);
        ASSERT_EQ(s.n_freed, 1);
        close(fd);
        fixture_stop(&f);
}

TEST(client_goes) {
        State s = { .waits = true };
        Fixture f;
        int fd;

        fd = begin(&f, &s);
        close(fd);
        fixture_run_until(&f, has_no_stream, &s);
        ASSERT_EQ(s.n_freed, 1);
        fixture_stop(&f);
}

TEST(server_goes) {
        State s = { .endless = true };
        Fixture f;
        int fd;

        fd = begin(&f, &s);
        fixture_stop(&f);
        ASSERT_EQ(s.n_freed, 1);
        close(fd);
}

/* Frames are made as they are taken: a reader that stops costs a frame and the sockets' buffers. */
TEST(slow_reader) {
        enum { N = 400000 };
        State s = { .n_wanted = N };
        Fixture f;
        Reply r;
        int fd;

        fd = begin(&f, &s);
        fixture_run_for(&f, 200 * USEC_PER_MSEC);
        ASSERT_TRUE(s.n_made < N / 2);
        s.n_wanted = s.n_made + 1000;
        fixture_receive(&f, fd, &r);
        expect_frames(&r, s.n_wanted);
        ASSERT_EQ(s.n_made, s.n_wanted);
        reply_done(&r);
        close(fd);
        fixture_stop(&f);
}
