/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/test.h"

#define OBJECT "/x"
#define INTERFACE "io.sandboxd.Test"

/* A server whose answers can be held back and whose connections can be cut. */
typedef struct Fixture {
        char path[64];
        Service *service;
        BusServer *server;
        int listen_fd;
        unsigned n_calls, n_silent, n_connections, n_returns;
        Peer *peer;
        unsigned n_good, n_bad;
        char error[64], order[64];
} Fixture;

static int method_echo(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Fixture *f = userdata;
        const char *text;

        (void) error;
        f->n_calls++;
        strcat(f->order, "e");
        if (f->n_silent > 0) {
                f->n_silent--;
                return 1;
        }
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &text));
        return sd_bus_reply_method_return(m, "s", text);
}

/* Says what it was given, so that the order can be told. */
static int method_take(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Fixture *f = userdata;
        const char *text;
        struct stat st;
        int fd;

        (void) error;
        f->n_calls++;
        ASSERT_OK(sd_bus_message_read(m, "sh", &text, &fd));
        ASSERT_EQ(fstat(fd, &st), 0);
        strcat(f->order, text);
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Take", "sh", "", method_take, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Echo", "s", "s", method_echo, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t uid, void *userdata) {
        Fixture *f = userdata;

        (void) server;
        (void) uid;
        f->n_connections++;
        return sd_bus_add_object_vtable(bus, NULL, OBJECT, INTERFACE, vtable, f);
}

static void open_server(Fixture *f) {
        ASSERT_OK(bus_server_new(&(BusServerOptions) { .service = f->service, .listen_fd = f->listen_fd,
                                                       .on_connect = on_connect, .userdata = f }, &f->server));
}

static void cut(Fixture *f) {
        f->server = bus_server_free(f->server);
        open_server(f);
}

static void on_answer(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Fixture *f = userdata;

        if (reply)
                f->n_good++;
        else {
                f->n_bad++;
                snprintf(f->error, sizeof f->error, "%s", error->name);
        }
}

static void on_return(Peer *p, void *userdata) {
        Fixture *f = userdata;

        f->n_returns++;
        peer_settled(p, f->n_returns > 2); /* the first two times there is no answer */
}

static void fixture_start(Fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (Fixture) {};
        log_set_max_level(LOG_EMERG);
        snprintf(f->path, sizeof f->path, "/tmp/peer-%d.sock", getpid());
        strcpy(address.sun_path, f->path);
        ASSERT_OK(service_new(&(ServiceOptions) { .program = "test", .idle_usec = USEC_INFINITY }, &f->service));
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 8), 0);
        open_server(f);
        ASSERT_OK(peer_new(&(PeerOptions) { .event = service_event(f->service), .path = f->path, .object = OBJECT,
                                            .on_return = on_return, .userdata = f }, &f->peer));
}

static void fixture_done(Fixture *f) {
        peer_free(f->peer);
        bus_server_free(f->server);
        safe_close(f->listen_fd);
        service_free(f->service);
        (void) unlink(f->path);
}

static void call(Fixture *f, PeerFlags flags) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        ASSERT_OK(peer_message(f->peer, INTERFACE, "Echo", &m));
        ASSERT_OK(sd_bus_message_append_basic(m, 's', "hello"));
        ASSERT_OK(peer_send(f->peer, m, flags, on_answer, f));
}

static void run_until(Fixture *f, const unsigned *counter, unsigned value) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + 20 * USEC_PER_SEC;

        while (*counter < value) {
                assert_true(now_usec(CLOCK_MONOTONIC) < end);
                ASSERT_OK(sd_event_run(service_event(f->service), 100000));
        }
}

TEST(lost_connection) {
        _cleanup_(fixture_done) Fixture f = {};

        fixture_start(&f);
        call(&f, 0);
        run_until(&f, &f.n_good, 1);

        /* under way: once more for the one, an error for the other */
        f.n_silent = 2;
        call(&f, PEER_REPEATABLE);
        call(&f, 0);
        run_until(&f, &f.n_calls, 3);
        cut(&f);
        run_until(&f, &f.n_good, 2);
        run_until(&f, &f.n_bad, 1);
        ASSERT_STREQ(f.error, BUS_ERROR_UNAVAILABLE);
        ASSERT_EQ(f.n_calls, 4);
        ASSERT_EQ(f.n_connections, 2);
}

/* Not for ever: a call that kills the service twice fails. */
TEST(repeated_once_only) {
        _cleanup_(fixture_done) Fixture f = {};

        fixture_start(&f);
        f.n_silent = 9;
        call(&f, PEER_REPEATABLE);
        for (unsigned i = 1; i <= 2; i++) {
                run_until(&f, &f.n_calls, i);
                cut(&f);
        }
        run_until(&f, &f.n_bad, 1);
        ASSERT_EQ(f.n_calls, 2);
        ASSERT_EQ(f.n_good, 0);
}

/* A call made between the break and the news of it replaces the connection: the old calls are not forgotten. */
TEST(new_call_on_a_broken_connection) {
        _cleanup_(fixture_done) Fixture f = {};

        fixture_start(&f);
        f.n_silent = 3;
        for (unsigned i = 0; i < 3; i++)
                call(&f, PEER_REPEATABLE);
        run_until(&f, &f.n_calls, 3);
        cut(&f);
        call(&f, 0); /* goes down with the old one, or over the new one */
        for (unsigned i = 0; f.n_good + f.n_bad < 4; i++) {
                assert_true(i < 1000);
                ASSERT_OK(sd_event_run(service_event(f.service), 100000));
        }
        assert_true(f.n_good >= 3);
}

TEST(attached_returns_until_settled) {
        _cleanup_(fixture_done) Fixture f = {};

        fixture_start(&f);
        peer_set_attached(f.peer, true);
        call(&f, 0);
        run_until(&f, &f.n_good, 1);
        cut(&f);
        run_until(&f, &f.n_returns, 3);
        cut(&f);
        run_until(&f, &f.n_returns, 4);
}

TEST(nobody_listens) {
        _cleanup_(fixture_done) Fixture f = {};
        sd_bus_message *m = NULL;

        fixture_start(&f);
        ASSERT_EQ(unlink(f.path), 0);
        ASSERT_EQ(peer_message(f.peer, INTERFACE, "Echo", &m), -EHOSTDOWN);
}

/* What is under way when we end is answered, too. */
TEST(end) {
        _cleanup_(fixture_done) Fixture f = {};

        fixture_start(&f);
        f.n_silent = 2;
        call(&f, PEER_REPEATABLE);
        call(&f, 0);
        f.peer = peer_free(f.peer);
        ASSERT_EQ(f.n_bad, 2);
}

static void give(Fixture *f, const char *text, PeerFlags flags) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        ASSERT_OK(peer_message(f->peer, INTERFACE, "Take", &m));
        ASSERT_OK(sd_bus_message_append(m, "sh", text, STDIN_FILENO));
        ASSERT_OK(peer_send(f->peer, m, flags, on_answer, f));
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        unsigned *n = userdata;

        (void) usec;
        (*n)++;
        (void) sd_event_source_set_time_relative(source, 1000);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* The service is only starting: nobody takes the connection. The test is the one that would start it, so if anything
 * waited for that it would be for ever. */
TEST(descriptors_to_a_service_that_starts_late) {
        _cleanup_(fixture_done) Fixture f = {};
        sd_event_source *ticker;
        unsigned n_ticks = 0;

        fixture_start(&f);
        f.server = bus_server_free(f.server);
        ASSERT_OK(sd_event_add_time_relative(service_event(f.service), &ticker, CLOCK_MONOTONIC, 0, 0, on_tick, &n_ticks));
        call(&f, 0);
        give(&f, "1", 0);
        give(&f, "2", PEER_REPEATABLE);
        call(&f, 0); /* not before what was asked for first */
        give(&f, "3", 0);
        run_until(&f, &n_ticks, 20); /* others are served meanwhile */
        ASSERT_EQ(f.n_calls, 0);
        ASSERT_EQ(f.n_good + f.n_bad, 0);
        open_server(&f);
        run_until(&f, &f.n_good, 5);
        ASSERT_STREQ(f.order, "e12e3");
        give(&f, "4", 0); /* and at once from now on */
        run_until(&f, &f.n_good, 6);
        ASSERT_EQ(f.n_connections, 1);
        sd_event_source_disable_unref(ticker);
}

/* What was never sent is sent to the next one, whatever it is. */
TEST(descriptors_to_a_service_that_dies_while_it_starts) {
        _cleanup_(fixture_done) Fixture f = {};
        int fd;

        fixture_start(&f);
        f.server = bus_server_free(f.server);
        give(&f, "1", 0);
        give(&f, "2", PEER_REPEATABLE);
        ASSERT_OK(fd = accept4(f.listen_fd, NULL, NULL, SOCK_CLOEXEC));
        ASSERT_OK(sd_event_run(service_event(f.service), 0));
        safe_close(fd);
        open_server(&f);
        run_until(&f, &f.n_good, 2);
        ASSERT_STREQ(f.order, "12");
        ASSERT_EQ(f.n_bad, 0);

        /* under way when it is cut: as any other call */
        give(&f, "3", 0);
        f.server = bus_server_free(f.server);
        give(&f, "4", 0);
        f.peer = peer_free(f.peer); /* who waits is told */
        ASSERT_EQ(f.n_good + f.n_bad, 4);
}
