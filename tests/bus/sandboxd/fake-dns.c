/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/fake-dns.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

FakeNames *fake_dns_find(FakeDns *f, const char *id) {
        for (size_t i = 0; i < f->n_lists; i++)
                if (streq(f->lists[i].id, id))
                        return f->lists + i;
        return NULL;
}

static int method_set(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **names = NULL;
        const char *id, *address;
        FakeDns *f = userdata;
        FakeNames list = {};

        if (f->n_failures > 0) {
                f->n_failures--;
                return bus_error_set(error, BUS_ERROR_INTERRUPTED, "as the test wants it");
        }
        ASSERT_OK(sd_bus_message_read(m, "ss", &id, &address));
        ASSERT_OK(sd_bus_message_read_strv(m, &names));
        snprintf(list.id, sizeof list.id, "%s", id);
        snprintf(list.address, sizeof list.address, "%s", address);
        snprintf(list.first, sizeof list.first, "%s", names ? names[0] : "");
        list.n = strv_length(names);
        *(fake_dns_find(f, id) ?: f->lists + f->n_lists++) = list;
        return sd_bus_reply_method_return(m, NULL);
}

static int method_forget(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeDns *f = userdata;
        const char *id;
        FakeNames *l;

        (void) error;
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        l = fake_dns_find(f, id);
        if (l)
                *l = f->lists[--f->n_lists];
        return sd_bus_reply_method_return(m, NULL);
}

static int method_retain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **ids = NULL;
        FakeDns *f = userdata;

        (void) error;
        ASSERT_OK(sd_bus_message_read_strv(m, &ids));
        for (size_t i = f->n_lists; i > 0; i--)
                if (!strv_contains(ids, f->lists[i - 1].id))
                        f->lists[i - 1] = f->lists[--f->n_lists];
        return sd_bus_reply_method_return(m, NULL);
}

static int method_decisions(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) userdata;
        (void) error;
        return sd_bus_reply_method_return(m, "ttta(squtt)", UINT64_C(5), UINT64_C(6), UINT64_C(7), 1, "web.test", 1, 1,
                                          UINT64_C(1000), UINT64_C(5));
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Set", "ssas", "", method_set, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Forget", "s", "", method_forget, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Retain", "as", "", method_retain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Decisions", "s", "ttta(squtt)", method_decisions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, DNS_OBJECT, DNS_INTERFACE, vtable, userdata);
}

void fake_dns_start(FakeDns *f, Service *service, const char *directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (FakeDns) {};
        assert_true(snprintf(f->path, sizeof f->path, "%s/dns.sock", directory) < (int) sizeof f->path);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 16), 0);
        ASSERT_OK(bus_server_new(&(BusServerOptions) { .service = service, .listen_fd = f->listen_fd,
                                                       .on_connect = on_connect, .userdata = f }, &f->server));
}

void fake_dns_stop(FakeDns *f) {
        f->server = bus_server_free(f->server);
        safe_close(f->listen_fd);
}
