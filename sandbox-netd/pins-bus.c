/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "sandbox-netd/restrict.h"

/* A socket of its own, for sandbox-dns, which may do this one thing: open an address to a sandbox, for a while, in the
 * name of an entry that stands on its list. */

static int read_addresses(sd_bus_message *message, Pin *pin, sd_bus_error *error) {
        struct PinAddress a;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "(uu)");
        while (r >= 0 && (r = sd_bus_message_read(message, "(uu)", &a.address, &a.sec)) > 0) {
                if (pin->n_addresses == PIN_ADDRESSES_MAX)
                        return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Too many addresses.");
                pin->addresses[pin->n_addresses++] = a;
        }
        return r;
}

static int method_pin(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        unsigned n = 0;
        Pin pin = {};
        int r;

        r = sd_bus_message_read(message, "uuq", &pin.source, &pin.mark, &pin.port);
        if (r >= 0)
                r = read_addresses(message, &pin, error);
        if (r >= 0)
                r = manager_pin(userdata, &pin, &n, error);
        manager_log_refused_soon(userdata);
        return r < 0 ? r : sd_bus_reply_method_return(message, "u", (uint32_t) n);
}

const sd_bus_vtable pins_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Pin", SD_BUS_ARGS("u", sandbox, "u", mark, "q", port, "a(uu)", addresses),
                                SD_BUS_RESULT("u", opened), method_pin, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, PINS_OBJECT, PINS_INTERFACE, pins_vtable, userdata);
}

int manager_serve_pins(Manager *m, int listen_fd) {
        return bus_server_new(&(BusServerOptions) { .service = m->service, .listen_fd = listen_fd,
                                                    .on_connect = on_connect, .userdata = m, .uids = &m->dns_uid,
                                                    .n_uids = m->dns_uid != UID_INVALID }, &m->pins_server);
}
