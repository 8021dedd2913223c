/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-dns/manager.h"

/* io.sandboxd.Dns1: who may ask for what, and what was decided. */

static int read_id(sd_bus_message *message, const char **ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_read_basic(message, 's', ret);
        if (r < 0)
                return r;
        return sandbox_id_is_valid(*ret) ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "Not the id of a sandbox.");
}

static int read_entries(sd_bus_message *message, NameList *l, sd_bus_error *error) {
        const char *entry;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read_basic(message, 's', &entry)) > 0) {
                r = name_list_add(l, entry);
                if (r == -EINVAL)
                        return bus_error_set(error, BUS_ERROR_INVALID, "Not a name.");
                if (r == -E2BIG)
                        return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "The list is too long.");
        }
        return r;
}

static int method_set(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(name_list_freep) NameList *l = NULL;
        const char *id, *text;
        Manager *m = userdata;
        uint32_t address;
        int r;

        r = read_id(message, &id, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(message, 's', &text);
        if (r < 0)
                return r;
        if (address_parse(text, &address) < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "Not an address.");
        r = name_list_new(id, address, &l);
        if (r >= 0)
                r = read_entries(message, l, error);
        if (r >= 0)
                r = name_lists_put(&m->lists, TAKE_PTR(l));
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int method_forget(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *m = userdata;
        const char *id;
        int r;

        r = read_id(message, &id, error);
        if (r < 0)
                return r;
        name_lists_remove(&m->lists, id);
        return sd_bus_reply_method_return(message, NULL);
}

/* All but those that are named. */
static int method_retain(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **ids = NULL;
        Manager *m = userdata;
        NameList *l;
        int r;

        (void) error;
        r = sd_bus_message_read_strv(message, &ids);
        if (r < 0)
                return r;
        HASHMAP_FOREACH(l, m->lists.by_id)
                if (!strv_contains(ids, l->id))
                        name_lists_remove(&m->lists, l->id);
        return sd_bus_reply_method_return(message, NULL);
}

static int append_rows(sd_bus_message *reply, const Decisions *d) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(squtt)");
        for (size_t i = 0; r >= 0 && d && i < DECISION_ROWS; i++) {
                const Decision *row = d->rows + i;

                if (row->count > 0)
                        r = sd_bus_message_append(reply, "(squtt)", row->name, row->type, (uint32_t) row->verdict,
                                                  row->time_msec, row->count);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_decisions(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const Decisions *d;
        Manager *m = userdata;
        const char *id;
        NameList *l;
        int r;

        r = read_id(message, &id, error);
        if (r < 0)
                return r;
        l = name_lists_get(&m->lists, id);
        d = l ? l->decisions : NULL;
        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "ttt", d ? d->counts[VERDICT_ALLOWED] : 0,
                                          d ? d->counts[VERDICT_DENIED] : 0, d ? d->counts[VERDICT_PRIVATE] : 0);
        if (r >= 0)
                r = append_rows(reply, d);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* The server admits root and sandboxd only, hence UNPRIVILEGED. */
const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Set", SD_BUS_ARGS("s", id, "s", address, "as", names), SD_BUS_NO_RESULT, method_set,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Forget", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_forget,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Retain", SD_BUS_ARGS("as", ids), SD_BUS_NO_RESULT, method_retain,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Decisions", SD_BUS_ARGS("s", id),
                                SD_BUS_RESULT("t", allowed, "t", denied, "t", private, "a(squtt)", recent),
                                method_decisions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, DNS_OBJECT, DNS_INTERFACE, manager_vtable, userdata);
}

int manager_serve_bus(Manager *m, int listen_fd) {
        return bus_server_new(&(BusServerOptions) { .service = m->service, .listen_fd = listen_fd,
                                                    .on_connect = on_connect, .userdata = m,
                                                    .uids = &m->sandboxd_uid,
                                                    .n_uids = m->sandboxd_uid != UID_INVALID }, &m->server);
}
