/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/unit/sandboxd/http-fixture.h"

static void expect_timeout(Fixture *f, const char *bytes, unsigned status) {
        Reply r;
        int fd;

        fd = fixture_connect(f);
        fixture_send_text(f, fd, bytes);
        fixture_receive(f, fd, &r);
        ASSERT_EQ(r.status, status);
        ASSERT_TRUE(status == 0 || strstr(r.text, "Connection: close"));
        reply_done(&r);
        close(fd);
        fixture_run_until(f, no_connection, f->server);
}

TEST(time_limits) {
        Fixture f;
        Reply r;
        int fd;

        routes_start(&f, NULL, &short_times);
        expect_timeout(&f, "", 0);
        expect_timeout(&f, "G", 408);
        expect_timeout(&f, "GET /sandbox/health HTTP/1.1\r\nHost: lo", 408);
        expect_timeout(&f, "POST /sandbox/echo HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n1", 408);

        /* also for the second request of a connection */
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, HEALTH);
        fixture_expect_body(&f, fd, 200, "{\"status\":\"ok\"}");
        fixture_run_for(&f, 150 * USEC_PER_MSEC);
        fixture_send_text(&f, fd, "GE");
        fixture_receive(&f, fd, &r);
        ASSERT_EQ(r.status, 408);
        reply_done(&r);
        close(fd);

        /* and a connection without a further one ends silently */
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, HEALTH);
        fixture_expect_body(&f, fd, 200, "{\"status\":\"ok\"}");
        fixture_receive(&f, fd, &r);
        ASSERT_EQ(r.n, 0);
        ASSERT_TRUE(r.closed);
        reply_done(&r);
        close(fd);
        fixture_stop(&f);
}

/* A byte now and then does not help. */
TEST(slow_head_ends) {
        uint64_t begin;
        Fixture f;
        int fd;

        routes_start(&f, NULL, &short_times);
        fd = fixture_connect(&f);
        begin = now_usec(CLOCK_MONOTONIC);
        fixture_send_text(&f, fd, "GET / HTTP/1.1\r\nX: ");
        while (http_server_n_connections(f.server) > 0 || now_usec(CLOCK_MONOTONIC) - begin < 50 * USEC_PER_MSEC) {
                fixture_send_text(&f, fd, "a");
                fixture_run_for(&f, 20 * USEC_PER_MSEC);
                ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - begin < 5 * USEC_PER_SEC);
        }
        close(fd);
        fixture_stop(&f);
}

TEST(many_idle_connections) {
        enum { N = 1000 };
        struct rlimit limit;
        int fds[N];
        size_t before;
        Fixture f;
        Reply r;

        ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = MIN(limit.rlim_max, (rlim_t) 4096);
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < 2 * N + 64)
                test_skip("RLIMIT_NOFILE is too low");

        routes_start(&f, NULL, NULL);
        before = rss_bytes();
        for (size_t i = 0; i < N; i++) {
                fds[i] = fixture_connect(&f);
                if (i % 64 == 0)
                        fixture_run_for(&f, 10);
        }
        while (http_server_n_connections(f.server) < N)
                ASSERT_OK(sd_event_run(f.event, USEC_PER_MSEC));
        ASSERT_TRUE(rss_bytes() < before + 8 * MiB);

        fixture_exchange(&f, HEALTH, strlen(HEALTH), &r);
        ASSERT_EQ(r.status, 200);
        reply_done(&r);

        for (size_t i = 0; i < N; i++)
                close(fds[i]);
        fixture_run_until(&f, no_connection, f.server);
        fixture_stop(&f);
}

TEST(too_many_connections) {
        static const char *const settings[] = { "SANDBOX_CONNECTIONS_MAX=2", NULL };
        int fds[2], fd;
        Fixture f;
        Reply r;

        routes_start(&f, settings, NULL);
        fds[0] = fixture_connect(&f);
        fds[1] = fixture_connect(&f);
        fd = fixture_connect(&f);
        fixture_send_text(&f, fd, HEALTH);
        fixture_receive(&f, fd, &r);
        ASSERT_EQ(r.status, 503);
        ASSERT_NOT_NULL(strstr(r.text, "\r\nRetry-After: "));
        reply_done(&r);
        close(fd);

        fixture_send_text(&f, fds[1], HEALTH);
        fixture_expect_body(&f, fds[1], 200, "{\"status\":\"ok\"}");
        close(fds[0]);
        close(fds[1]);
        fixture_run_until(&f, no_connection, f.server);
        fixture_exchange(&f, HEALTH, strlen(HEALTH), &r);
        ASSERT_EQ(r.status, 200);
        reply_done(&r);
        fixture_stop(&f);
}

TEST(drain_closes_the_idle_only) {
        int idle, busy;
        Fixture f;
        Reply r;

        routes_start(&f, NULL, NULL);
        ASSERT_EQ(http_server_drain(f.server), 0);
        busy = fixture_connect(&f);
        fixture_send_text(&f, busy, LATER);
        fixture_run_until(&f, request_pends, &fixture_state);
        idle = fixture_connect(&f);
        fixture_send_text(&f, idle, HEALTH);
        fixture_expect_body(&f, idle, 200, "{\"status\":\"ok\"}");

        ASSERT_EQ(http_server_drain(f.server), 1);
        fixture_receive(&f, idle, &r);
        ASSERT_TRUE(r.closed && r.n == 0);
        reply_done(&r);
        ASSERT_EQ(http_server_n_connections(f.server), 1);
        ASSERT_OK(request_reply_json(TAKE_PTR(fixture_state.pending), 200, json_true()));
        fixture_expect_body(&f, busy, 200, "true");
        fixture_run_for(&f, 5 * USEC_PER_MSEC);
        ASSERT_EQ(http_server_drain(f.server), 0);
        fixture_run_until(&f, no_connection, f.server);
        close(idle);
        close(busy);
        fixture_stop(&f);
}

TEST(no_token_beyond_loopback) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        HttpServer *server = NULL;
        Fixture f;
        int fd;

        routes_start(&f, NULL, NULL);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(fd, 1), 0);
        ASSERT_EQ(http_server_new(
                          &(HttpServerOptions) {
                                  .event = f.event,
                                  .settings = &f.settings,
                                  .tcp_fds = &fd,
                                  .n_tcp = 1,
                                  .auth = f.auth,
                          },
                          &server),
                  -EPERM);
        ASSERT_NULL(server);
        close(fd);
        fixture_stop(&f);
}
