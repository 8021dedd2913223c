/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/wire.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "sandboxd/files.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define FILE_MODE 0644

typedef struct Wire {
        Manager *manager;
        Sandbox *sandbox;
        bool member;
        unsigned network, number;
        char *address;
        WireCallback callback;
        void *userdata;
} Wire;

static Wire *wire_free(Wire *w) {
        if (w) {
                sandbox_unref(w->sandbox);
                free(w->address);
                free(w);
        }
        return NULL;
}
DEFINE_CLEANUP(Wire *, wire_free)

static void finish(Wire *wire, const sd_bus_error *error) {
        _cleanup_(wire_freep) Wire *w = wire;

        w->callback(error ? NULL : w->address, error, w->userdata);
        service_release(w->manager->service);
}

static void finish_errno(Wire *w, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "sandbox-netd is not available.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        finish(w, &error);
}

static void on_written(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        (void) reply;
        finish(userdata, error);
}

static int write_resolver(Wire *w, const char *resolver) {
        char text[64];

        snprintf(text, sizeof text, "nameserver %s\n", resolver);
        return files_write(w->manager, w->sandbox, &(FileContent) { .path = RESOLV_CONF, .mode = FILE_MODE, .data = text,
                                                                    .n = strlen(text) }, on_written, w);
}

static void on_wired(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        const char *address, *resolver = "";
        Wire *w = userdata;
        int r;

        if (!reply) {
                finish(w, error);
                return;
        }
        r = sd_bus_message_read(reply, w->member ? "s" : "ss", &address, &resolver);
        if (r >= 0 && !(w->address = strdup(address)))
                r = -ENOMEM;
        if (r >= 0 && *resolver) {
                r = write_resolver(w, resolver);
                if (r >= 0)
                        return;
        }
        if (r < 0)
                finish_errno(w, r);
        else
                finish(w, NULL);
}

static void on_opened(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Wire *w = userdata;
        NetdClient *netd = w->manager->netd;
        const char *id = w->sandbox->id;
        int r = -EHOSTDOWN;

        if (!reply) {
                finish(w, error);
                return;
        }
        if (!w->manager->stopping)
                r = w->member ? netd_join(netd, id, w->network, w->number, reply, on_wired, w)
                              : netd_attach(netd, id, reply, on_wired, w);
        if (r < 0)
                finish_errno(w, r);
}

static int start(Wire *wire) {
        _cleanup_(wire_freep) Wire *w = wire;
        int r;

        if (!w)
                return -ENOMEM;
        r = execd_call(w->manager->execd, "OpenNetwork", w->sandbox->id, on_opened, w);
        if (r < 0)
                return r;
        service_hold(w->manager->service);
        TAKE_PTR(w);
        return 0;
}

static Wire *wire_new(Manager *m, Sandbox *s, WireCallback callback, void *userdata) {
        Wire *w = new0(Wire, 1);

        if (w)
                *w = (Wire) { .manager = m, .sandbox = sandbox_ref(s), .callback = callback, .userdata = userdata };
        return w;
}

int wire_attach(Manager *m, Sandbox *s, WireCallback callback, void *userdata) {
        return start(wire_new(m, s, callback, userdata));
}

int wire_join(Manager *m, Sandbox *s, unsigned network, unsigned member, WireCallback callback, void *userdata) {
        Wire *w = wire_new(m, s, callback, userdata);

        if (w) {
                w->member = true;
                w->network = network;
                w->number = member;
        }
        return start(w);
}
