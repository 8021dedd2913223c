/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/time-util.h"
#include "sandboxd/http/dialect.h"
#include "tests/unit/sandboxd/http-fixture.h"

/* The server with a Service: what keeps the daemon, and what does not. */

typedef struct Daemon {
        Service *service;
        Settings settings;
        Auth *auth;
        HttpServer *server;
        int listen_fd;
        struct sockaddr_un address;
} Daemon;

static int on_idle(void *userdata) {
        Daemon *d = userdata;

        return http_server_drain(d->server);
}

static void daemon_start(Daemon *d, const char *token) {
        static const RouteTable *table;
        static RouteTable rows;

        rows = (RouteTable) { &dialect_sandbox, "/sandbox", fixture_routes, n_fixture_routes };
        table = &rows;
        *d = (Daemon) { .address = { .sun_family = AF_UNIX } };
        fixture_state = (FixtureState) {};
        ASSERT_OK(settings_init_defaults(&d->settings));
        if (token)
                ASSERT_OK(settings_assign(&d->settings, "III_AUTH_TOKEN", token));
        ASSERT_OK(auth_new(&d->settings, NULL, &d->auth));
        ASSERT_OK(service_new(
                &(ServiceOptions) {
                        .program = "test",
                        .idle_usec = 100 * USEC_PER_MSEC,
                        .on_idle = on_idle,
                        .userdata = d,
                },
                &d->service));

        /* an abstract name, made up by the kernel */
        d->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(d->listen_fd, (struct sockaddr *) &d->address, sizeof(sa_family_t)), 0);
        ASSERT_EQ(listen(d->listen_fd, 16), 0);
        ASSERT_OK(http_server_new(
                &(HttpServerOptions) {
                        .service = d->service,
                        .settings = &d->settings,
                        .tables = table,
                        .n_tables = 1,
                        .unix_fds = &d->listen_fd,
                        .n_unix = 1,
                        .auth = d->auth,
                        .userdata = &fixture_state,
                },
                &d->server));
}

static int daemon_connect(Daemon *d, const char *bytes) {
        struct sockaddr_un address;
        socklen_t size = sizeof address;
        int fd;

        ASSERT_EQ(getsockname(d->listen_fd, (struct sockaddr *) &address, &size), 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(connect(fd, (struct sockaddr *) &address, size), 0);
        ASSERT_EQ(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t) strlen(bytes));
        return fd;
}

static void daemon_stop(Daemon *d) {
        http_server_free(d->server);
        auth_free(d->auth);
        settings_done(&d->settings);
        service_free(d->service);
        close(d->listen_fd);
}

TEST(keep_alive_connection_does_not_hold) {
        char buffer[4096] = "";
        uint64_t begin;
        Daemon d;
        int fd;

        daemon_start(&d, NULL);
        fd = daemon_connect(&d, "GET /sandbox/health HTTP/1.1\r\nHost: anything\r\n\r\n");
        begin = now_usec(CLOCK_MONOTONIC);
        ASSERT_EQ(service_run(d.service), 0);
        ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - begin < 5 * USEC_PER_SEC);
        ASSERT_TRUE(recv(fd, buffer, sizeof buffer - 1, MSG_DONTWAIT) > 0);
        ASSERT_NOT_NULL(strstr(buffer, "HTTP/1.1 200 OK\r\n"));
        ASSERT_EQ(recv(fd, buffer, sizeof buffer, MSG_DONTWAIT), 0);
        close(fd);
        daemon_stop(&d);
}

static int on_answer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        (void) userdata;
        assert(fixture_state.pending);
        return request_reply_json(TAKE_PTR(fixture_state.pending), 200, json_true());
}

/* Longer than the idle time, and not cut off by it. */
TEST(request_holds) {
        char buffer[4096] = "";
        Daemon d;
        int fd;

        daemon_start(&d, NULL);
        fd = daemon_connect(&d, "POST /sandbox/later HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        ASSERT_OK(sd_event_add_time_relative(service_event(d.service), NULL, CLOCK_MONOTONIC, 400 * USEC_PER_MSEC, 1,
                                             on_answer, NULL));
        ASSERT_EQ(service_run(d.service), 0);
        ASSERT_TRUE(recv(fd, buffer, sizeof buffer - 1, MSG_DONTWAIT) > 0);
        ASSERT_NOT_NULL(strstr(buffer, "\r\n\r\ntrue"));
        ASSERT_EQ(fixture_state.n_gone, 0);
        close(fd);
        daemon_stop(&d);
}

TEST(local_peers_need_no_token) {
        char buffer[4096] = "", expect[64];
        Daemon d;
        int fd;

        daemon_start(&d, "secret");
        fd = daemon_connect(&d, "GET /sandbox/echo HTTP/1.1\r\nHost: a\r\n\r\n");
        ASSERT_EQ(service_run(d.service), 0);
        ASSERT_TRUE(recv(fd, buffer, sizeof buffer - 1, MSG_DONTWAIT) > 0);
        ASSERT_NOT_NULL(strstr(buffer, "HTTP/1.1 200 OK\r\n"));
        snprintf(expect, sizeof expect, "\r\nX-Principal: unix:%u\r\n", (unsigned) getuid());
        ASSERT_NOT_NULL(strstr(buffer, expect));
        close(fd);
        daemon_stop(&d);
}
