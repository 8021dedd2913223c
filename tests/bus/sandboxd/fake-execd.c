/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/fake-execd.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/fake-execd-method.h"
#include "tests/test.h"

static void open_server(FakeExecd *f);

static bool happens(const char **what, sd_bus_message *m) {
        bool now = streq_ptr(*what, sd_bus_message_get_member(m));

        *what = now ? NULL : *what;
        return now;
}

/* > 0: the call is done with. */
int fake_execd_interfere(FakeExecd *f, sd_bus_message *m, sd_bus_error *error) {
        f->n_calls++;
        if (f->on_call)
                f->on_call(f, sd_bus_message_get_member(m));
        if (happens(&f->fail_method, m))
                return bus_error_set(error, f->fail_name, "as the test wants it");
        return happens(&f->cut_before, m) ? (fake_execd_crash(f), 1) : 0;
}

int fake_execd_answer(FakeExecd *f, sd_bus_message *m, sd_bus_message *reply) {
        if (happens(&f->fail_after, m))
                return sd_bus_reply_method_errorf(m, f->fail_name, "as the test wants it");
        if (!happens(&f->cut_after, m))
                return sd_bus_message_send(reply);
        fake_execd_crash(f);
        return 1;
}

FakeSandbox *fake_execd_find(FakeExecd *f, const char *id) {
        for (size_t i = 0; i < f->n_sandboxes; i++)
                if (streq(f->sandboxes[i].id, id))
                        return f->sandboxes + i;
        return NULL;
}

FakeSandbox *fake_execd_read_sandbox(FakeExecd *f, sd_bus_message *m, sd_bus_error *error) {
        const char *id;
        FakeSandbox *s;

        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        s = fake_execd_find(f, id);
        if (!s)
                (void) bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox %s.", id);
        return s;
}

static const sd_bus_vtable *const vtables[] = {
        fake_execd_command_vtable,
        fake_execd_network_vtable,
        fake_execd_port_vtable,
        fake_execd_sandbox_vtable,
        fake_execd_volume_vtable,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        for (size_t i = 0; i < ELEMENTSOF(vtables); i++)
                ASSERT_OK(sd_bus_add_object_vtable(bus, NULL, EXEC_OBJECT, EXEC_INTERFACE, vtables[i], userdata));
        return 0;
}

static void open_server(FakeExecd *f) {
        uid_t uid = getuid();
        BusServerOptions options = { .service = f->service, .listen_fd = f->listen_fd, .on_connect = on_connect,
                                     .userdata = f, .uids = &uid, .n_uids = 0 };

        ASSERT_OK(bus_server_new(&options, &f->server));
}

void fake_execd_start(FakeExecd *f, Service *service, const char *directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (FakeExecd) { .service = service, .stats = FAKE_STATS };
        assert_true(snprintf(f->path, sizeof f->path, "%s/execd.sock", directory) < (int) sizeof f->path);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 16), 0);
        open_server(f);
}

static int on_crash(sd_event_source *source, void *userdata) {
        FakeExecd *f = userdata;

        (void) source;
        f->server = bus_server_free(f->server);
        open_server(f);
        return 0;
}

/* A connection cannot be freed by the method that it called: the loop does it, before anything is sent. */
void fake_execd_crash(FakeExecd *f) {
        sd_event_source *source;

        ASSERT_OK(sd_event_add_defer(service_event(f->service), &source, on_crash, f));
        ASSERT_OK(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT));
        ASSERT_OK(sd_event_source_set_floating(source, true));
        sd_event_source_unref(source);
}

void fake_execd_stop(FakeExecd *f) {
        fake_execd_end_commands(f);
        sd_bus_message_unref(f->held_connect);
        for (size_t i = 0; i < f->n_servers; i++)
                safe_close(f->servers[i]);
        while (f->n_sandboxes > 0)
                fake_execd_remove(f, f->sandboxes);
        f->server = bus_server_free(f->server);
        safe_close(f->listen_fd);
}
