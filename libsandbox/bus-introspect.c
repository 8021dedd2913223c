/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"

/* sd-bus writes the XML only when asked over a bus, so a pair of them asks itself. */

static int pair_new(sd_bus **ret_server, sd_bus **ret_client) {
        _cleanup_(sd_bus_unrefp) sd_bus *server = NULL, *client = NULL;
        sd_id128_t id;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;

        r = sd_bus_new(&server);
        if (r >= 0)
                r = sd_bus_new(&client);
        if (r >= 0)
                r = sd_bus_set_fd(server, pair[0], pair[0]);
        if (r >= 0)
                r = sd_bus_set_fd(client, pair[1], pair[1]);
        if (r < 0) {
                close_many(pair, 2);
                return r;
        }

        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(server, true, id);
        if (r >= 0)
                r = sd_bus_start(server);
        if (r >= 0)
                r = sd_bus_start(client);
        if (r < 0)
                return r;

        *ret_server = TAKE_PTR(server);
        *ret_client = TAKE_PTR(client);
        return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) error;
        *(sd_bus_message **) userdata = sd_bus_message_ref(m);
        return 0;
}

static int introspect(sd_bus *server, sd_bus *client, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *xml;
        int r;

        r = sd_bus_call_method_async(client, NULL, NULL, path, "org.freedesktop.DBus.Introspectable", "Introspect",
                                     on_reply, &reply, "");
        while (r >= 0 && !reply) {
                int a = sd_bus_process(server, NULL), b = sd_bus_process(client, NULL);

                r = a < 0 ? a : b;
        }
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &xml);
        if (r >= 0)
                fputs(xml, stdout);
        return r;
}

int bus_introspect(const BusInterface *interfaces, size_t n_interfaces) {
        _cleanup_(sd_bus_unrefp) sd_bus *server = NULL, *client = NULL;
        int r;

        r = pair_new(&server, &client);
        for (size_t i = 0; r >= 0 && i < n_interfaces; i++)
                r = sd_bus_add_object_vtable(server, NULL, interfaces[i].path, interfaces[i].interface,
                                             interfaces[i].vtable, NULL);
        for (size_t i = 0; r >= 0 && i < n_interfaces; i++)
                if (i == 0 || interfaces[i].path != interfaces[i - 1].path)
                        r = introspect(server, client, interfaces[i].path);
        return r;
}
