/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/router.h"
#include "tests/test.h"

#define ID_A "00112233445566778899aabbccddeeff"
#define ID_B "ffeeddccbbaa99887766554433221100"
#define WORKERS_MAX 16U
#define IDLE_USEC (20 * USEC_PER_MSEC)

/* A router between a client and workers that do what the path of a call says. */
typedef struct Fixture {
        Service *service;
        Router *router;
        sd_bus *client, *server;
        sd_bus *workers[WORKERS_MAX];
        size_t n_workers;
        sd_bus_message *held[WORKERS_MAX];
        size_t n_held;
        unsigned n_empty;
        bool refuse;
} Fixture;

static int answer_with_file(sd_bus_message *m) {
        _cleanup_close_ int fd = memfd_create("content", MFD_CLOEXEC);

        ASSERT_OK(fd);
        ASSERT_OK(loop_write(fd, "text", 4));
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        return sd_bus_reply_method_return(m, "htut", fd, (uint64_t) 4, (uint32_t) 0100644, (uint64_t) 1);
}

static int on_worker_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Fixture *f = userdata;
        const char *path;

        if (!streq_ptr(sd_bus_message_get_interface(m), FILES_INTERFACE))
                return 0;
        ASSERT_OK(sd_bus_message_read(m, "ss", NULL, &path));
        if (streq(path, "/die")) {
                sd_bus_close(sd_bus_message_get_bus(m));
                return 1;
        }
        if (streq(path, "/hold")) {
                f->held[f->n_held++] = sd_bus_message_ref(m);
                return 1;
        }
        if (streq(path, "/file"))
                return answer_with_file(m);
        if (streq(path, "/where"))
                return sd_bus_reply_method_return(m, "s", sd_bus_message_get_path(m));
        return bus_error_set(error, BUS_ERROR_NO_SUCH_FILE, "%s: no such file", path);
}

static sd_bus *bus_on(Fixture *f, int fd, bool server) {
        sd_bus *bus = bus_on_socket(fd, server);

        ASSERT_OK(sd_bus_attach_event(bus, service_event(f->service), SD_EVENT_PRIORITY_NORMAL));
        return bus;
}

static int start_worker(Router *router, const char *id, void *userdata) {
        Fixture *f = userdata;
        sd_bus *worker;
        int pair[2];

        if (f->refuse) {
                router_start_failed(router, id, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_NO_SUCH_SANDBOX, "None."));
                return 0;
        }
        ASSERT_TRUE(f->n_workers < WORKERS_MAX);
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        worker = bus_on(f, pair[0], /* server= */ true);
        ASSERT_OK(sd_bus_add_fallback(worker, NULL, FSD_OBJECT, on_worker_call, f));
        f->workers[f->n_workers++] = worker;
        router_add_worker(router, id, pair[1]);
        return 0;
}

static void on_empty(Router *router, void *userdata) {
        Fixture *f = userdata;

        (void) router;
        f->n_empty++;
}

static void fixture_init(Fixture *f) {
        int pair[2];

        *f = (Fixture) {};
        ASSERT_OK(service_new(&(ServiceOptions) { .program = "test", .idle_usec = USEC_INFINITY }, &f->service));
        ASSERT_OK(router_new(&(RouterOptions) {
                .service = f->service,
                .idle_usec = IDLE_USEC,
                .start = start_worker,
                .on_empty = on_empty,
                .userdata = f,
        }, &f->router));
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        f->server = bus_on(f, pair[0], /* server= */ true);
        f->client = bus_on(f, pair[1], /* server= */ false);
        ASSERT_OK(router_attach(f->router, f->server));
}

static void fixture_done(Fixture *f) {
        for (size_t i = 0; i < f->n_held; i++)
                sd_bus_message_unref(f->held[i]);
        router_free(f->router);
        for (size_t i = 0; i < f->n_workers; i++)
                sd_bus_close_unref(f->workers[i]);
        sd_bus_close_unref(f->client);
        sd_bus_close_unref(f->server);
        service_free(f->service);
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) error;
        *(sd_bus_message **) userdata = sd_bus_message_ref(m);
        return 0;
}

static void send_call(Fixture *f, const char *id, const char *object, const char *path, sd_bus_message **ret_reply) {
        *ret_reply = NULL;
        ASSERT_OK(sd_bus_call_method_async(f->client, NULL, NULL, object, FILES_INTERFACE, "Anything", on_reply,
                                           ret_reply, "ss", id, path));
}

static void run_until_reply(Fixture *f, sd_bus_message **reply) {
        while (!*reply)
                ASSERT_OK(sd_event_run(service_event(f->service), UINT64_MAX));
}

static void assert_call_fails(Fixture *f, const char *id, const char *path, const char *name) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        send_call(f, id, FSD_OBJECT, path, &reply);
        run_until_reply(f, &reply);
        ASSERT_TRUE(sd_bus_message_is_method_error(reply, NULL));
        ASSERT_STREQ(sd_bus_message_get_error(reply)->name, name);
}

TEST(answers_and_errors_pass) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *where = NULL;
        _cleanup_(fixture_done) Fixture f;
        char content[8] = "";
        const char *object;
        int fd;

        fixture_init(&f);
        send_call(&f, ID_A, FSD_OBJECT, "/file", &reply);
        run_until_reply(&f, &reply);
        ASSERT_OK(sd_bus_message_read(reply, "htut", &fd, NULL, NULL, NULL));
        ASSERT_EQ(loop_read(fd, content, sizeof content), 4);
        ASSERT_STREQ(content, "text");

        send_call(&f, ID_A, FSD_OBJECT "/5_6", "/where", &where);
        run_until_reply(&f, &where);
        ASSERT_OK(sd_bus_message_read(where, "s", &object));
        ASSERT_STREQ(object, FSD_OBJECT "/5_6");

        assert_call_fails(&f, ID_A, "/missing", BUS_ERROR_NO_SUCH_FILE);
        assert_call_fails(&f, "../" ID_A, "/missing", BUS_ERROR_NO_SUCH_SANDBOX);
        ASSERT_EQ(f.n_workers, 1);
}

TEST(dead_worker_fails_its_call_only) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        assert_call_fails(&f, ID_A, "/die", BUS_ERROR_INTERRUPTED);
        send_call(&f, ID_A, FSD_OBJECT, "/file", &reply);
        run_until_reply(&f, &reply);
        ASSERT_FALSE(sd_bus_message_is_method_error(reply, NULL));
        ASSERT_EQ(f.n_workers, 2);
}

TEST(busy_workers_get_siblings) {
        sd_bus_message *replies[ROUTER_WORKERS_MAX + 1] = {}, *other = NULL;
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(replies); i++)
                send_call(&f, ID_A, FSD_OBJECT, "/hold", &replies[i]);
        while (f.n_held < ROUTER_WORKERS_MAX)
                ASSERT_OK(sd_event_run(service_event(f.service), UINT64_MAX));

        /* Another sandbox does not wait for this one, and no worker serves both. */
        send_call(&f, ID_B, FSD_OBJECT, "/file", &other);
        run_until_reply(&f, &other);
        ASSERT_EQ(f.n_workers, ROUTER_WORKERS_MAX + 1);
        ASSERT_EQ(f.n_held, ROUTER_WORKERS_MAX);
        sd_bus_message_unref(other);

        /* One answer makes room for the one that waits. */
        ASSERT_OK(sd_bus_reply_method_return(f.held[0], NULL));
        while (f.n_held < ELEMENTSOF(replies))
                ASSERT_OK(sd_event_run(service_event(f.service), UINT64_MAX));
        for (size_t i = 1; i < ELEMENTSOF(replies); i++)
                ASSERT_OK(sd_bus_reply_method_return(f.held[i], NULL));
        for (size_t i = 0; i < ELEMENTSOF(replies); i++) {
                run_until_reply(&f, &replies[i]);
                ASSERT_FALSE(sd_bus_message_is_method_error(replies[i], NULL));
                sd_bus_message_unref(replies[i]);
        }
}

TEST(failed_start_is_told) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        f.refuse = true;
        assert_call_fails(&f, ID_A, "/file", BUS_ERROR_NO_SUCH_SANDBOX);
        ASSERT_EQ(f.n_empty, 1);
}

TEST(idle_workers_are_let_go) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        send_call(&f, ID_A, FSD_OBJECT, "/file", &reply);
        run_until_reply(&f, &reply);
        while (f.n_empty == 0)
                ASSERT_OK(sd_event_run(service_event(f.service), UINT64_MAX));
        /* Its end of the socket is closed. */
        while (sd_bus_is_open(f.workers[0]) > 0)
                ASSERT_OK(sd_event_run(service_event(f.service), UINT64_MAX));
}
