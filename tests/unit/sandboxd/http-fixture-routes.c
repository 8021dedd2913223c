/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/route.h"
#include "tests/unit/sandboxd/http-fixture.h"

FixtureState fixture_state;

static int handle_health(Request *r, sd_bus_error *error) {
        (void) error;
        fixture_state.n_handled++;
        return request_reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

static int handle_echo(Request *r, sd_bus_error *error) {
        (void) error;
        fixture_state.n_handled++;
        (void) request_add_header(r, "X-Principal", request_principal(r));
        return request_reply_json(r, 200, json_incref(request_input(r)));
}

static int handle_fail(Request *r, sd_bus_error *error) {
        const char *name = request_query(r, "name");

        if (!name)
                return -EIO;
        return sd_bus_error_setf(error, name, "It failed");
}

static void on_gone(Request *r, void *userdata) {
        FixtureState *s = userdata;

        assert(s->pending == r);
        s->pending = NULL;
        s->n_gone++;
}

static int handle_later(Request *r, sd_bus_error *error) {
        (void) error;
        fixture_state.n_handled++;
        fixture_state.pending = r;
        request_on_gone(r, on_gone, &fixture_state);
        return 1;
}

static ssize_t make_bytes(void *userdata, char *buffer, size_t size) {
        uint64_t *left = userdata;
        size_t n = MIN(size, *left);

        if (fixture_state.source_waits)
                return 0;
        if (n == 0)
                return -ENODATA;
        memset(buffer, 'x', n);
        *left -= n;
        fixture_state.n_made += n;
        return (ssize_t) n;
}

static void free_source(void *userdata) {
        fixture_state.n_freed++;
        free(userdata);
}

static int handle_stream(Request *r, sd_bus_error *error) {
        uint64_t *left = new0(uint64_t, 1);

        (void) error;
        assert(left);
        (void) parse_u64(request_query(r, "n"), left);
        fixture_state.pending = r;
        request_on_gone(r, on_gone, &fixture_state);
        return request_reply_stream(r, 200, "application/octet-stream",
                                    &(ReplySource) { .read = make_bytes, .free = free_source, .userdata = left });
}

static ssize_t take_bytes(void *userdata, const char *data, size_t n) {
        FixtureState *s = userdata;

        if (s->sink_waits)
                return 0;
        if (s->sink_step > 0)
                n = MIN(n, s->sink_step);
        for (size_t i = 0; i < n; i++)
                s->sum = (unsigned char) (s->sum + (unsigned char) data[i]);
        s->n_received += n;
        if (s->n_received > 512 * MiB)
                return -ENOSPC;
        if (s->sink_step > 0)
                s->sink_waits = true;
        return (ssize_t) n;
}

static int end_bytes(void *userdata, sd_bus_error *error) {
        FixtureState *s = userdata;

        (void) error;
        return request_reply_json(s->pending, 200, json_pack("{s:I}", "size", (json_int_t) s->n_received));
}

static int handle_upload(Request *r, sd_bus_error *error) {
        if (request_query(r, "deny"))
                return bus_error_set(error, BUS_ERROR_DENIED, "No");
        fixture_state.pending = r;
        request_on_gone(r, on_gone, &fixture_state);
        request_receive(r, &(BodySink) { .write = take_bytes, .end = end_bytes, .userdata = &fixture_state });
        return 1;
}

static int handle_file(Request *r, sd_bus_error *error) {
        int fd = memfd_create("file", MFD_CLOEXEC);

        (void) error;
        assert(fd >= 0);
        if (write(fd, "0123456789", 10) != 10)
                return -EIO;
        /* as if it had been longer when it was opened */
        return request_reply_file(r, 200, "text/plain", fd, 2, request_query(r, "shrunk") ? 500 : 5);
}

/* An echo; 'q' ends it from this side. */
static void echo(FixtureState *s, int fd, const char *bytes, size_t n) {
        if (n > 0)
                (void) send(fd, bytes, n, MSG_NOSIGNAL); /* the peer may have left */
        if (memchr(bytes, 'q', n))
                upgrade_close(s->upgrade);
}

static int on_upgraded_input(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        FixtureState *s = userdata;
        char bytes[4096];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);

        (void) events;
        if (n > 0)
                echo(s, fd, bytes, (size_t) n);
        else if (n == 0 || errno != EAGAIN) {
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                upgrade_close(s->upgrade);
        }
        return 0;
}

static void on_upgraded(Upgrade *u, int fd, const char *bytes, size_t n, void *userdata) {
        FixtureState *s = userdata;

        s->upgrade = u;
        assert(sd_event_add_io(s->event, &s->upgrade_source, fd, EPOLLIN, on_upgraded_input, s) >= 0);
        echo(s, fd, bytes, n);
}

static void free_upgraded(void *userdata) {
        FixtureState *s = userdata;

        s->upgrade = NULL;
        s->upgrade_source = sd_event_source_disable_unref(s->upgrade_source);
        s->n_freed++;
}

static int handle_upgrade(Request *r, sd_bus_error *error) {
        if (!request_wants_upgrade(r, "echo"))
                return bus_error_set(error, BUS_ERROR_INVALID, "Upgrade to echo");
        return request_upgrade(r, "echo", &(UpgradeHandler) { .opened = on_upgraded, .free = free_upgraded,
                                                              .userdata = &fixture_state });
}

const Route fixture_routes[] = {
        { "GET",    "/health",           handle_health, ROUTE_NO_AUTH,     "" },
        { "GET",    "/echo",             handle_echo,   0,                 "" },
        { "POST",   "/echo",             handle_echo,   0,                 "" },
        { "DELETE", "/echo/:id",         handle_echo,   0,                 "" },
        { "POST",   "/large",            handle_echo,   ROUTE_LARGE_BODY,  "" },
        { "GET",    "/fail",             handle_fail,   0,                 "" },
        { "POST",   "/later",            handle_later,  0,                 "" },
        { "GET",    "/stream",           handle_stream, 0,                 "" },
        { "PUT",    "/upload",           handle_upload, ROUTE_BODY_STREAM, "" },
        { "GET",    "/file",             handle_file,   0,                 "" },
        { "GET",    "/socket",           fixture_handle_socket, 0,         "" },
        { "GET",    "/upgrade",          handle_upgrade, 0,                "" },
        { "GET",    "/sandboxes/:id",    handle_echo,   0,                 "" },
        { "GET",    "/sandboxes/:id/exec", handle_echo, 0,                 "" },
        { "POST",   "/sandboxes/:id/exec", handle_echo, 0,                 "" },
        { "GET",    "/sandboxes/:id/files/raw", handle_echo, 0,            "" },
        { "GET",    "/sandboxes/:id/git/status", handle_echo, 0,           "" },
        { "GET",    "/sandboxes/:id/x",  handle_echo,   0,                 "" },
        { "GET",    "/files/*path",      handle_echo,   0,                 "" },
};
const size_t n_fixture_routes = ELEMENTSOF(fixture_routes);

const HttpTimes short_times = {
        .head_usec = 300 * USEC_PER_MSEC,
        .body_idle_usec = 300 * USEC_PER_MSEC,
        .keep_alive_usec = 600 * USEC_PER_MSEC,
        .write_stall_usec = 500 * USEC_PER_MSEC,
        .reply_usec = 1000 * USEC_PER_SEC,
        .half_closed_usec = 200 * USEC_PER_MSEC,
        .heartbeat_usec = 100 * USEC_PER_MSEC,
        .sweep_usec = 50 * USEC_PER_MSEC,
};

void routes_start(Fixture *f, const char *const *settings, const HttpTimes *times) {
        fixture_state = (FixtureState) {};
        fixture_start(f, settings, times, &fixture_state);
        fixture_state.event = f->event;
}

bool request_pends(void *userdata) {
        return ((FixtureState *) userdata)->pending;
}

bool no_connection(void *userdata) {
        return http_server_n_connections(userdata) == 0;
}
