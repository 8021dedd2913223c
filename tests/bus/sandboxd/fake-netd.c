/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/fake-netd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

static void open_server(FakeNetd *f);

static int on_crash(sd_event_source *source, void *userdata) {
        FakeNetd *f = userdata;

        (void) source;
        f->server = bus_server_free(f->server);
        open_server(f);
        return 0;
}

/* Done by the loop: a connection cannot be freed by the method that it called. */
static void crash(FakeNetd *f) {
        sd_event_source *source;

        ASSERT_OK(sd_event_add_defer(service_event(f->service), &source, on_crash, f));
        ASSERT_OK(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT));
        ASSERT_OK(sd_event_source_set_floating(source, true));
        sd_event_source_unref(source);
}

static bool happens(const char **what, sd_bus_message *m) {
        bool now = streq_ptr(*what, sd_bus_message_get_member(m));

        *what = now ? NULL : *what;
        return now;
}

static int interfere(FakeNetd *f, sd_bus_message *m, sd_bus_error *error) {
        f->n_calls++;
        if (f->on_call)
                f->on_call(f, sd_bus_message_get_member(m), f->userdata);
        if (happens(&f->fail_method, m))
                return bus_error_set(error, f->fail_name, "as the test wants it");
        return happens(&f->cut_before, m) ? (crash(f), 1) : 0;
}

static int answer(FakeNetd *f, sd_bus_message *m, const char *types, const char *one, const char *two) {
        if (happens(&f->cut_after, m)) {
                crash(f);
                return 1;
        }
        return sd_bus_reply_method_return(m, types, one, two);
}

FakeWire *fake_netd_find(FakeNetd *f, const char *id, int network) {
        for (size_t i = 0; i < f->n_wires; i++)
                if (streq(f->wires[i].id, id) && f->wires[i].member == (network >= 0) &&
                    (network < 0 || f->wires[i].network == (uint32_t) network))
                        return f->wires + i;
        return NULL;
}

static void check_descriptors(sd_bus_message *m) {
        int one, two;

        ASSERT_OK(sd_bus_message_read(m, "hh", &one, &two));
        ASSERT_TRUE(fcntl(one, F_GETFD) >= 0);
        ASSERT_TRUE(fcntl(two, F_GETFD) >= 0);
}

static void add(FakeNetd *f, const char *id, int network, uint32_t number) {
        FakeWire *w = fake_netd_find(f, id, network) ?: f->wires + f->n_wires++;

        *w = (FakeWire) { .member = network >= 0, .network = (uint32_t) MAX(network, 0), .number = number };
        snprintf(w->id, sizeof w->id, "%s", id);
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        const char *id;
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        check_descriptors(m);
        add(f, id, -1, 0);
        return answer(f, m, "ss", "10.201.3.4", "10.201.0.1");
}

static int method_join(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        uint32_t network, number;
        char address[32];
        const char *id;
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        ASSERT_OK(sd_bus_message_read(m, "suu", &id, &network, &number));
        check_descriptors(m);
        add(f, id, (int) network, number);
        snprintf(address, sizeof address, "10.202.%u.%u", network, number);
        return answer(f, m, "s", address, NULL);
}

static int method_leave(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        uint32_t network;
        const char *id;
        FakeWire *w;
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        ASSERT_OK(sd_bus_message_read(m, "su", &id, &network));
        w = fake_netd_find(f, id, (int) network);
        if (w)
                *w = f->wires[--f->n_wires];
        return answer(f, m, NULL, NULL, NULL);
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        FakeNetd *f = userdata;
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        ASSERT_OK(sd_bus_message_new_method_return(m, &reply));
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(sbus)"));
        for (size_t i = 0; i < f->n_wires; i++) {
                const FakeWire *w = f->wires + i;
                char digits[16];

                snprintf(digits, sizeof digits, "%.*s", w->member ? 10 : 12, w->id);
                ASSERT_OK(sd_bus_message_append(reply, "(sbus)", digits, (int) w->member, w->network, "10.0.0.1"));
        }
        ASSERT_OK(sd_bus_message_close_container(reply));
        return sd_bus_send(NULL, reply, NULL);
}

static FakeList *find_list(FakeNetd *f, const char *id) {
        for (size_t i = 0; i < f->n_lists; i++)
                if (streq(f->lists[i].id, id))
                        return f->lists + i;
        return NULL;
}

FakeList *fake_netd_find_list(FakeNetd *f, const char *id) {
        return find_list(f, id);
}

static int method_restrict(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        FakeList list = {};
        const uint32_t *marks;
        const char *id;
        size_t n;
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        snprintf(list.id, sizeof list.id, "%s", id);
        ASSERT_OK(sd_bus_message_enter_container(m, 'a', "(uuq)"));
        while ((r = sd_bus_message_read(m, "(uuq)", NULL, NULL, NULL)) > 0)
                list.n_prefixes++;
        ASSERT_OK(r);
        ASSERT_OK(sd_bus_message_exit_container(m));
        ASSERT_OK(sd_bus_message_read_array(m, 'u', (const void **) &marks, &n));
        list.n_marks = n / sizeof *marks;
        *(find_list(f, id) ?: f->lists + f->n_lists++) = list;
        return answer(f, m, "ss", "10.201.3.4", f->resolver ?: "");
}

static int method_release(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        const char *id;
        FakeList *l;
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        l = find_list(f, id);
        if (l)
                *l = f->lists[--f->n_lists];
        return answer(f, m, NULL, NULL, NULL);
}

static int method_decisions(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        int r = interfere(f, m, error);

        return r != 0 ? r : sd_bus_reply_method_return(m, "tta(suut)", UINT64_C(3), UINT64_C(4), 1, "192.0.2.1", 6, 443,
                                                       UINT64_C(2));
}

static int method_usage(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeNetd *f = userdata;
        char digits[13] = "none";
        int r = interfere(f, m, error);

        if (r != 0)
                return r;
        if (f->n_wires > 0)
                snprintf(digits, sizeof digits, "%.12s", f->wires[0].id);
        return sd_bus_reply_method_return(m, "a(stt)", 1, digits, UINT64_C(1234), UINT64_C(567));
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Attach", "shh", "ss", method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Join", "suuhh", "s", method_join, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Leave", "su", "", method_leave, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("List", "", "a(sbus)", method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Restrict", "sa(uuq)au", "ss", method_restrict, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Release", "s", "", method_release, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Decisions", "s", "tta(suut)", method_decisions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Usage", "", "a(stt)", method_usage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, NET_OBJECT, NET_INTERFACE, vtable, userdata);
}

static void open_server(FakeNetd *f) {
        BusServerOptions options = { .service = f->service, .listen_fd = f->listen_fd, .on_connect = on_connect,
                                     .userdata = f };

        ASSERT_OK(bus_server_new(&options, &f->server));
}

void fake_netd_start(FakeNetd *f, Service *service, const char *directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (FakeNetd) { .service = service };
        assert_true(snprintf(f->path, sizeof f->path, "%s/netd.sock", directory) < (int) sizeof f->path);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 16), 0);
        open_server(f);
}

void fake_netd_stop(FakeNetd *f) {
        f->server = bus_server_free(f->server);
        safe_close(f->listen_fd);
}
