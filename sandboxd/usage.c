/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/usage.h"

#include "libsandbox/string-util.h"

typedef struct Usage {
        Manager *manager;
        UsageCallback callback;
        void *userdata;
} Usage;

static void finish(Usage *u) {
        u->callback(u->userdata);
        service_release(u->manager->service);
        free(u);
}

static Sandbox *find(Manager *m, const char *digits) {
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (startswith(s->id, digits))
                        return s;
        return NULL;
}

static void on_usage(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        uint64_t received, sent;
        const char *digits;
        Usage *u = userdata;

        (void) error;
        if (reply && sd_bus_message_enter_container(reply, 'a', "(stt)") >= 0)
                while (sd_bus_message_read(reply, "(stt)", &digits, &received, &sent) > 0) {
                        Sandbox *s = find(u->manager, digits);

                        if (s) {
                                s->rx_bytes = received;
                                s->tx_bytes = sent;
                        }
                }
        finish(u);
}

static bool has_way_out(const Sandbox *s) {
        return json_is_true(json_object_get(s->config, "network")) && sandbox_is_live(s);
}

static bool anybody_has(Manager *m) {
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (has_way_out(s))
                        return true;
        return false;
}

void usage_ask(Manager *m, const Sandbox *s, UsageCallback callback, void *userdata) {
        Usage *u = NULL;

        if ((s ? has_way_out(s) : anybody_has(m)) && !m->stopping)
                u = new0(Usage, 1);
        if (!u) {
                callback(userdata);
                return;
        }
        *u = (Usage) { m, callback, userdata };
        service_hold(m->service);
        if (netd_usage(m->netd, on_usage, u) < 0)
                finish(u);
}
