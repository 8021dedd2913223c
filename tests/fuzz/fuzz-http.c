/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/http/http-server.h"
#include "tests/fuzz/fuzz.h"

/* The bytes of one connection, at a whole server. After them it must be as before. */

static struct {
        sd_event *event;
        Settings settings;
        Auth *auth;
        HttpServer *server;
} f;

static unsigned n_waiting;

static int handle_echo(Request *r, sd_bus_error *error) {
        (void) error;
        return request_reply_json(r, 200, json_incref(request_input(r)));
}

static void on_gone(Request *r, void *userdata) {
        (void) r;
        (void) userdata;
        n_waiting--;
}

static int handle_wait(Request *r, sd_bus_error *error) {
        (void) error;
        n_waiting++;
        request_on_gone(r, on_gone, NULL);
        return 1;
}

static ssize_t drop(void *userdata, const char *data, size_t n) {
        (void) userdata;
        (void) data;
        return (ssize_t) n;
}

static int end(void *userdata, sd_bus_error *error) {
        (void) error;
        return request_reply_empty(userdata, 200);
}

static int handle_upload(Request *r, sd_bus_error *error) {
        (void) error;
        request_receive(r, &(BodySink) { .write = drop, .end = end, .userdata = r });
        return 1;
}

static const Route routes[] = {
        { "GET",  "/e",        handle_echo,   0,                 "" },
        { "POST", "/e",        handle_echo,   0,                 "" },
        { "POST", "/e/:id",    handle_echo,   0,                 "" },
        { "POST", "/w",        handle_wait,   0,                 "" },
        { "PUT",  "/u/*path",  handle_upload, ROUTE_BODY_STREAM, "" },
};

static const RouteTable table = { &dialect_sandbox, "/s", routes, ELEMENTSOF(routes) };

static void start(void) {
        log_set_max_level(-1);
        assert(sd_event_new(&f.event) >= 0);
        assert(settings_init_defaults(&f.settings) >= 0);
        assert(settings_assign(&f.settings, "SANDBOX_BODY_MAX", "4K") >= 0);
        assert(auth_new(&f.settings, NULL, &f.auth) >= 0);
        assert(http_server_new(&(HttpServerOptions) { .event = f.event, .settings = &f.settings, .tables = &table,
                                                      .n_tables = 1, .auth = f.auth },
                               &f.server) >= 0);
}

static void stop(void) {
        http_server_free(f.server);
        auth_free(f.auth);
        settings_done(&f.settings);
        sd_event_unref(f.event);
}

static void run(void) {
        while (sd_event_run(f.event, 0) > 0)
                ;
}

/* Replies only, and each with the headers that all have, but for what libmicrohttpd says by itself. */
static void check_output(int fd) {
        char buffer[4096];
        ssize_t n;

        n = recv(fd, buffer, sizeof buffer - 1, MSG_DONTWAIT);
        if (n <= 0)
                return;
        buffer[n] = 0;
        assert(startswith(buffer, "HTTP/1.1 "));
        while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
                ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        int pair[2];

        if (!f.server) {
                start();
                atexit(stop);
        }
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) >= 0);
        assert(http_server_add_socket(f.server, pair[0]) >= 0);
        if (send(pair[1], data, n, MSG_NOSIGNAL) >= 0)
                run();
        check_output(pair[1]);
        close(pair[1]);
        run();
        /* a request that waits does not see the end of its client at once */
        if (http_server_n_connections(f.server) > 0) {
                assert(n_waiting == 1);
                http_server_free(f.server);
                f.server = NULL;
                assert(n_waiting == 0);
                assert(http_server_new(&(HttpServerOptions) { .event = f.event, .settings = &f.settings,
                                                              .tables = &table, .n_tables = 1, .auth = f.auth },
                                       &f.server) >= 0);
        }
        return 0;
}
