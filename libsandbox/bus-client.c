/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-util.h"
#include "libsandbox/log.h"

/* A connection that is made when it is needed and dropped when the peer should be able to leave: both daemons exit when
 * idle, and an open connection would keep the other one alive for ever. What to do with calls that a lost connection
 * took along is for those who made them, who know which ones may be repeated. */

struct BusClient {
        BusClientOptions options;
        sd_bus *bus;
};

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusClient *c = userdata;

        (void) m;
        (void) error;
        bus_client_close(c);
        if (c->options.on_disconnect)
                c->options.on_disconnect(c, c->options.userdata);
        return 1;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusClient *c = userdata;

        (void) m;
        (void) error;
        if (c->options.on_ready)
                c->options.on_ready(c, c->options.userdata);
        return 1;
}

/* What the bus library tells of the connection itself. */
static int match_local(sd_bus *bus, const char *member, sd_bus_message_handler_t handler, BusClient *c) {
        return sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL, "org.freedesktop.DBus.Local",
                                         member, handler, NULL, c);
}

int bus_client_new(const BusClientOptions *options, BusClient **ret) {
        BusClient *c = new0(BusClient, 1);

        assert(options);
        assert(ret);

        if (!c)
                return -ENOMEM;
        c->options = *options;
        *ret = c;
        return 0;
}

BusClient *bus_client_free(BusClient *c) {
        if (c) {
                bus_client_close(c);
                free(c);
        }
        return NULL;
}

void bus_client_close(BusClient *c) {
        sd_bus *bus = TAKE_PTR(c->bus);

        sd_bus_close_unref(bus);
}

static int connect_bus(BusClient *c, sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        char address[256];
        int r;

        if ((size_t) snprintf(address, sizeof address, "unix:path=%s", c->options.path) >= sizeof address)
                return -ENAMETOOLONG;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, true);
        /* Else sd-bus would wait, at the end of the loop, for a service that is only just starting. */
        if (r >= 0)
                r = sd_bus_set_close_on_exit(bus, false);
        if (r >= 0)
                r = sd_bus_set_connected_signal(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                r = sd_bus_attach_event(bus, c->options.event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = match_local(bus, "Connected", on_connected, c);
        if (r >= 0)
                r = match_local(bus, "Disconnected", on_disconnected, c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

int bus_client_get(BusClient *c, sd_bus **ret) {
        int r;

        assert(c);
        assert(ret);

        if (!c->bus || sd_bus_is_open(c->bus) <= 0) {
                bus_client_close(c);
                r = connect_bus(c, &c->bus);
                if (r < 0)
                        return log_warning_errno(r, "Failed to connect to %s: %m", c->options.path);
                if (c->options.on_connect) {
                        r = c->options.on_connect(c, c->bus, c->options.userdata);
                        if (r < 0) {
                                bus_client_close(c);
                                return r;
                        }
                }
        }
        *ret = c->bus;
        return 0;
}
