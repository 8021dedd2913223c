/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-dns/manager.h"
#include "sandbox-dns/message.h"
#include "sandbox-dns/pins.h"
#include "tests/test.h"

/* The whole way of a question, with a name server and a sandbox-netd of our own. The "sandbox" is whoever asks from
 * 127.0.0.1. */

#define ID "0123456789abcdef0123456789abcdef"
#define WEB "\3web\4test\0"
#define A_IN "\0\1\0\1"
#define QUERY(name) "\x12\x34\x01\x00\0\1\0\0\0\0\0\0" name A_IN
#define PATIENCE_USEC (60 * USEC_PER_SEC)

typedef struct World {
        Service *service;
        Manager m;
        char directory[32], path[64];
        BusServer *netd;
        int netd_fd, server_fd, stream_fd, listen_fd, client_fd;
        struct sockaddr_in address;
        sd_event_source *server_io, *stream_io;
        /* What netd was told, and what it does. */
        unsigned n_pins, n_denials, n_crashes;
        uint32_t pinned, pinned_sec, mark;
        uint16_t port;
        bool answered_before_pin;
        /* What the name server says: records behind the question. */
        const char *records;
        size_t n_records;
        unsigned n_asked, n_silent;
        uint16_t flags;
} World;

static int method_pin(sd_bus_message *message, void *userdata, sd_bus_error *error);

static const sd_bus_vtable pins[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Pin", "uuqa(uu)", "u", method_pin, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, PINS_OBJECT, PINS_INTERFACE, pins, userdata);
}

static void open_netd(World *w) {
        ASSERT_OK(bus_server_new(&(BusServerOptions) { .service = w->service, .listen_fd = w->netd_fd,
                                                       .on_connect = on_connect, .userdata = w }, &w->netd));
}

static int on_crash(sd_event_source *source, void *userdata) {
        World *w = userdata;

        (void) source;
        w->netd = bus_server_free(w->netd);
        open_netd(w);
        return 0;
}

static int method_pin(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        sd_event_source *source;
        uint8_t byte;
        World *w = userdata;
        uint32_t address;

        if (w->n_crashes > 0) {
                w->n_crashes--;
                ASSERT_OK(sd_event_add_defer(service_event(w->service), &source, on_crash, w));
                ASSERT_OK(sd_event_source_set_floating(source, true));
                sd_event_source_unref(source);
                return 1;
        }
        ASSERT_OK(sd_bus_message_read(message, "uuq", &address, &w->mark, &w->port));
        ASSERT_EQ(address, INADDR_LOOPBACK);
        ASSERT_OK(sd_bus_message_enter_container(message, 'a', "(uu)"));
        while (sd_bus_message_read(message, "(uu)", &w->pinned, &w->pinned_sec) > 0)
                w->n_pins++;
        w->answered_before_pin |= recv(w->client_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
        if (w->n_denials > 0) {
                w->n_denials--;
                return bus_error_set(error, BUS_ERROR_DENIED, "as the test wants it");
        }
        return sd_bus_reply_method_return(message, "u", 1);
}

/* The name server: the question again, and the records. */
static size_t make_reply(World *w, const uint8_t *query, size_t n, uint8_t *reply) {
        w->n_asked++;
        if (w->n_silent > 0) {
                w->n_silent--;
                return 0;
        }
        memcpy(reply, query, n);
        reply[2] = (uint8_t) (0x81 | w->flags >> 8);
        reply[3] = (uint8_t) (0x80 | w->flags);
        reply[7] = (uint8_t) (w->n_records > 0 ? 1 : 0);
        memcpy(reply + n, w->records ?: "", w->n_records);
        return n + w->n_records;
}

static int on_query(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint8_t query[512], reply[1024];
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        ssize_t n = recvfrom(fd, query, sizeof query, MSG_DONTWAIT, (struct sockaddr *) &peer, &size);
        size_t length;

        (void) source;
        (void) events;
        ASSERT_TRUE(n > 0);
        length = make_reply(userdata, query, (size_t) n, reply);
        if (length > 0)
                ASSERT_EQ(sendto(fd, reply, length, 0, (struct sockaddr *) &peer, size), length);
        return 0;
}

static int on_stream_query(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint8_t query[514], reply[1024];
        ssize_t n;
        size_t length;

        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        n = recv(fd, query, sizeof query, 0);
        ASSERT_TRUE(n > 2);
        length = make_reply(userdata, query + 2, (size_t) n - 2, reply + 2);
        reply[0] = (uint8_t) (length >> 8);
        reply[1] = (uint8_t) length;
        ASSERT_EQ(send(fd, reply, length + 2, MSG_NOSIGNAL), length + 2);
        return 0;
}

/* Closed with the loop. */
static int on_stream(sd_event_source *source, int listen_fd, uint32_t events, void *userdata) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        World *w = userdata;

        (void) source;
        (void) events;
        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(sd_event_add_io(service_event(w->service), &source, fd, EPOLLIN, on_stream_query, w));
        ASSERT_OK(sd_event_source_set_io_fd_own(source, true));
        ASSERT_OK(sd_event_source_set_floating(source, true));
        sd_event_source_unref(source);
        return 0;
}

static int bound(int kind, uint16_t port, struct sockaddr_in *ret) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof a;
        int fd = socket(AF_INET, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        ASSERT_TRUE(fd >= 0);
        if (bind(fd, (struct sockaddr *) &a, sizeof a) < 0) {
                ASSERT_EQ(errno, EADDRINUSE);
                close(fd);
                return -EADDRINUSE;
        }
        ASSERT_EQ(getsockname(fd, (struct sockaddr *) &a, &size), 0);
        *ret = a;
        return fd;
}

/* A port of both kinds: the one that the kernel gives for the first may be taken for the second. */
static void bound_twice(int *ret_datagram, int *ret_stream, struct sockaddr_in *ret) {
        for (;;) {
                *ret_stream = bound(SOCK_STREAM, 0, ret);
                ASSERT_TRUE(*ret_stream >= 0);
                *ret_datagram = bound(SOCK_DGRAM, ret->sin_port, ret);
                if (*ret_datagram >= 0)
                        break;
                close(*ret_stream);
        }
        ASSERT_EQ(listen(*ret_stream, 8), 0);
}

static void begin_netd(World *w) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        snprintf(w->path, sizeof w->path, "%s/pins.sock", w->directory);
        snprintf(address.sun_path, sizeof address.sun_path, "%s", w->path);
        w->netd_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(w->netd_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(w->netd_fd, 8), 0);
        open_netd(w);
}

static void begin_server(World *w) {
        struct sockaddr_in a;

        bound_twice(&w->server_fd, &w->stream_fd, &a);
        ASSERT_OK(sd_event_add_io(service_event(w->service), &w->server_io, w->server_fd, EPOLLIN, on_query, w));
        ASSERT_OK(sd_event_add_io(service_event(w->service), &w->stream_io, w->stream_fd, EPOLLIN, on_stream, w));
        w->m.upstreams = (Upstreams) { .n = 1, .fixed = true };
        w->m.upstreams.addresses[0].in = a;
}

static void begin(World *w, const char *const *entries) {
        NameList *l;
        int fds[2];

        *w = (World) { .directory = "/tmp/test-question-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(w->directory));
        ASSERT_OK(service_new(&(ServiceOptions) { .program = "test", .idle_usec = USEC_INFINITY }, &w->service));
        w->m = (Manager) { .service = w->service };
        ASSERT_OK(settings_init_defaults(&w->m.settings));
        ASSERT_OK(name_lists_init(&w->m.lists, open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
        begin_netd(w);
        ASSERT_OK(pins_new(service_event(w->service), w->path, &w->m.pins));
        begin_server(w);
        bound_twice(&fds[0], &fds[1], &w->address);
        ASSERT_OK(manager_serve_names(&w->m, fds, 2));
        w->listen_fd = fds[0];
        w->client_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(connect(w->client_fd, (struct sockaddr *) &w->address, sizeof w->address), 0);
        ASSERT_OK(name_list_new(ID, INADDR_LOOPBACK, &l));
        for (; *entries; entries++)
                ASSERT_OK(name_list_add(l, *entries));
        ASSERT_OK(name_lists_put(&w->m.lists, l));
}

static void end(World *w) {
        name_lists_remove(&w->m.lists, ID);
        manager_done(&w->m);
        w->netd = bus_server_free(w->netd);
        sd_event_source_disable_unref(w->server_io);
        sd_event_source_disable_unref(w->stream_io);
        close_many((int[]) { w->server_fd, w->stream_fd, w->netd_fd, w->listen_fd, w->client_fd }, 5);
        service_free(w->service);
        (void) unlink(w->path);
        ASSERT_EQ(rmdir(w->directory), 0);
}

static ssize_t ask(World *w, const char *query, size_t n, uint8_t answer[512]) {
        uint64_t end_usec = now_usec(CLOCK_MONOTONIC) + PATIENCE_USEC;
        ssize_t got = -1;

        ASSERT_EQ(send(w->client_fd, query, n, 0), n);
        while (got < 0) {
                assert_true(now_usec(CLOCK_MONOTONIC) < end_usec);
                ASSERT_OK(sd_event_run(service_event(w->service), 50 * USEC_PER_MSEC));
                got = recv(w->client_fd, answer, 512, MSG_DONTWAIT);
        }
        ASSERT_EQ(memcmp(answer, "\x12\x34", 2), 0);
        return got;
}

#define ASK(w, name, answer) ask((w), QUERY(name), sizeof(QUERY(name)) - 1, (answer))
#define SAYS(w, text) ((w)->records = (text), (w)->n_records = sizeof(text) - 1)
#define PUBLIC "\xc0\x0c\0\1\0\1\0\0\0\x05\0\4\xc6\x33\x64\x07"
#define GUARDED "\xc0\x0c\0\1\0\1\0\0\0\x05\0\4\x0a\x4d\0\x07"

static const char *const web[] = { "web.test", NULL };

TEST(allowed) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        SAYS(&w, PUBLIC);
        ASSERT_EQ(ASK(&w, WEB, answer), sizeof(QUERY(WEB) PUBLIC) - 1);
        ASSERT_EQ(answer[3] & 15, 0);
        ASSERT_EQ(w.n_pins, 1);
        ASSERT_EQ(w.pinned, 0xc6336407);
        ASSERT_TRUE(w.pinned_sec >= w.m.settings.egress_ttl_min_sec);
        ASSERT_EQ(w.mark, egress_mark("web.test"));
        ASSERT_FALSE(w.answered_before_pin);
        ASSERT_EQ(name_lists_get(&w.m.lists, ID)->decisions->counts[VERDICT_ALLOWED], 1);
}

TEST(denied) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        ASSERT_EQ(ASK(&w, "\5other\4test\0", answer), sizeof(QUERY("\5other\4test\0")) - 1);
        ASSERT_EQ(answer[3] & 15, DNS_RCODE_REFUSED);
        ASSERT_EQ(w.n_asked, 0);
        ASSERT_EQ(name_lists_get(&w.m.lists, ID)->decisions->counts[VERDICT_DENIED], 1);
}

/* Whoever has no list is refused: he should not have come here. */
TEST(nobody) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        name_lists_remove(&w.m.lists, ID);
        (void) ASK(&w, WEB, answer);
        ASSERT_EQ(answer[3] & 15, DNS_RCODE_REFUSED);
        ASSERT_EQ(w.n_asked, 0);
}

TEST(private) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        SAYS(&w, GUARDED);
        (void) ASK(&w, WEB, answer);
        ASSERT_EQ(w.n_pins, 0);
        ASSERT_EQ(name_lists_get(&w.m.lists, ID)->decisions->counts[VERDICT_PRIVATE], 1);
}

/* One entry without a port covers those with one; else each is opened. */
TEST(ports) {
        static const char *const both[] = { "web.test:443", "*.test:80", NULL }, *const covered[] = { "web.test:443", "*.test", NULL };
        uint8_t answer[512];

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(end) World w;

                begin(&w, i ? covered : both);
                SAYS(&w, PUBLIC);
                (void) ASK(&w, WEB, answer);
                ASSERT_EQ(answer[3] & 15, 0);
                ASSERT_EQ(w.n_pins, i ? 1 : 2);
                ASSERT_EQ(w.port, i ? 0 : 80);
        }
}

/* What cannot be opened is not answered. */
TEST(not_on_the_list_any_more) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        SAYS(&w, PUBLIC);
        w.n_denials = 1;
        (void) ASK(&w, WEB, answer);
        ASSERT_EQ(answer[3] & 15, DNS_RCODE_SERVER);
}

TEST(netd_ends_under_a_call) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        SAYS(&w, PUBLIC);
        w.n_crashes = 1;
        (void) ASK(&w, WEB, answer);
        ASSERT_EQ(answer[3] & 15, 0);
        ASSERT_EQ(w.n_pins, 1);
}

TEST(a_silent_server_is_asked_again) {
        _cleanup_(end) World w;
        uint8_t answer[512];

        begin(&w, web);
        SAYS(&w, PUBLIC);
        w.n_silent = 1;
        (void) ASK(&w, WEB, answer);
        ASSERT_EQ(answer[3] & 15, 0);
        ASSERT_EQ(w.n_asked, 2);
}

TEST(stream) {
        static const char query[] = "\0\x1a" QUERY(WEB);
        _cleanup_(end) World w;
        _cleanup_close_ int fd = -EBADF;
        uint8_t answer[512];
        ssize_t n = -1;

        begin(&w, web);
        SAYS(&w, PUBLIC);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(connect(fd, (struct sockaddr *) &w.address, sizeof w.address), 0);
        for (unsigned round = 1; round <= 2; round++) { /* one connection for both */
                ASSERT_EQ(send(fd, query, sizeof query - 1, 0), sizeof query - 1);
                for (n = -1; n < 0; n = recv(fd, answer, sizeof answer, MSG_DONTWAIT))
                        ASSERT_OK(sd_event_run(service_event(w.service), 50 * USEC_PER_MSEC));
                ASSERT_EQ(n, sizeof(QUERY(WEB) PUBLIC) - 1 + 2);
                ASSERT_EQ(answer[5] & 15, 0);
                ASSERT_EQ(w.n_pins, round);
        }
}

/* A client that goes while its question is under way. */
TEST(gone) {
        static const char query[] = "\0\x1a" QUERY(WEB);
        _cleanup_(end) World w;
        uint8_t answer[512];
        int fd;

        begin(&w, web);
        SAYS(&w, PUBLIC);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(connect(fd, (struct sockaddr *) &w.address, sizeof w.address), 0);
        ASSERT_EQ(send(fd, query, sizeof query - 1, 0), sizeof query - 1);
        for (unsigned i = 0; w.m.n_questions == 0 && i < 100; i++)
                ASSERT_OK(sd_event_run(service_event(w.service), 50 * USEC_PER_MSEC));
        safe_close(fd);
        manager_close_streams(&w.m);
        (void) ASK(&w, WEB, answer);
        ASSERT_EQ(answer[3] & 15, 0);
        ASSERT_EQ(w.m.n_streams, 0);
}
