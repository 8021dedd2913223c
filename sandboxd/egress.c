/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/egress.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/egress-entry.h"
#include "libsandbox/string-util.h"
#include "sandboxd/files.h"

/* The kernel comes first, the names second. A name that is on no list in the kernel opens nothing, whatever sandbox-dns
 * thinks; and one that sandbox-dns does not know yet is refused for a moment. */

int egress_list_read(const json_t *list, json_t **ret, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *clean = json_array();
        const json_t *value;
        size_t i;

        if (!json_is_array(list))
                return bus_error_set(error, BUS_ERROR_INVALID, "egress.allow must be an array of strings");
        if (json_array_size(list) > EGRESS_LIST_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "egress.allow has more than %u entries", EGRESS_LIST_MAX);
        json_array_foreach((json_t *) list, i, value) {
                char text[EGRESS_ENTRY_MAX];
                EgressEntry e;

                if (!json_is_string(value))
                        return bus_error_set(error, BUS_ERROR_INVALID, "egress.allow must be an array of strings");
                if (strlen(json_string_value(value)) != json_string_length(value) ||
                    egress_entry_parse(json_string_value(value), &e) < 0)
                        return bus_error_set(error, BUS_ERROR_INVALID, "egress.allow: not a prefix of IPv4 addresses and "
                                             "not a name: %.300s", json_string_value(value));
                if (json_array_append_new(clean, json_string(egress_entry_format(&e, text))) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(clean);
        return 0;
}

json_t *egress_get_list(const json_t *config) {
        json_t *list = json_object_get(json_object_get(config, "egress"), "allow");

        return json_is_array(list) ? list : NULL;
}

int egress_set_list(json_t *config, json_t *list) {
        json_t *egress;

        if (!list) {
                (void) json_object_del(config, "egress");
                return 0;
        }
        egress = json_pack("{s:o}", "allow", list);
        return egress && json_object_set_new(config, "egress", egress) >= 0 ? 0 : -ENOMEM;
}

/* Under way */

typedef struct Application {
        Manager *manager;
        Sandbox *sandbox;
        char **names;
        EgressCallback callback;
        void *userdata;
} Application;

static Application *application_free(Application *a) {
        if (a) {
                sandbox_unref(a->sandbox);
                strv_free(a->names);
                free(a);
        }
        return NULL;
}
DEFINE_CLEANUP(Application *, application_free)

static void finish(Application *application, const sd_bus_error *error) {
        _cleanup_(application_freep) Application *a = application;

        a->callback(error, a->userdata);
        service_release(a->manager->service);
}

static void finish_errno(Application *a, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "sandbox-dns is not available.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        finish(a, &error);
}

static void on_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        (void) reply;
        finish(userdata, error);
}

/* Only where the sandbox got none with its wire: the host has no name server that can be reached from outside of it. */
static int write_resolver(Application *a, const char *gateway) {
        char text[64];

        snprintf(text, sizeof text, "nameserver %s\n", gateway);
        return files_write(a->manager, a->sandbox, &(FileContent) { .path = "/etc/resolv.conf", .mode = 0644, .data = text,
                                                                    .n = strlen(text) }, peer_ignore, NULL);
}

static void on_restricted(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        const char *address, *gateway;
        Application *a = userdata;
        int r;

        if (!reply) {
                finish(a, error);
                return;
        }
        r = sd_bus_message_read(reply, "ss", &address, &gateway);
        if (r >= 0 && *gateway && a->names)
                (void) write_resolver(a, gateway);
        if (r >= 0)
                r = dns_set(a->manager->dns, a->sandbox->id, address, a->names, on_done, a);
        if (r < 0)
                finish_errno(a, r);
}

static void on_released(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Application *a = userdata;
        int r;

        if (!reply) {
                finish(a, error);
                return;
        }
        r = dns_forget(a->manager->dns, a->sandbox->id, on_done, a);
        if (r < 0)
                finish_errno(a, r);
}

static int append_entry(sd_bus_message *message, Application *a, const char *text, uint32_t *marks, size_t *n_marks) {
        EgressEntry e;
        int r;

        r = egress_entry_parse(text, &e);
        if (r < 0)
                return r;
        if (!e.is_name)
                return sd_bus_message_append(message, "(uuq)", e.prefix.address, (uint32_t) e.prefix.bits, e.port);
        marks[(*n_marks)++] = egress_entry_mark(&e);
        return strv_extend(&a->names, text);
}

static int restrict_to(Application *a, const json_t *list) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        uint32_t marks[EGRESS_LIST_MAX];
        size_t i, n_marks = 0;
        json_t *value;
        int r;

        r = netd_restrict_begin(a->manager->netd, a->sandbox->id, &message);
        json_array_foreach((json_t *) list, i, value)
                if (r >= 0 && i < EGRESS_LIST_MAX)
                        r = append_entry(message, a, json_string_value(value), marks, &n_marks);
        return r < 0 ? r : netd_restrict(a->manager->netd, message, marks, n_marks, on_restricted, a);
}

int egress_apply(Manager *m, Sandbox *s, const json_t *list, EgressCallback callback, void *userdata) {
        _cleanup_(application_freep) Application *a = new0(Application, 1);
        int r;

        if (!a)
                return -ENOMEM;
        *a = (Application) { .manager = m, .sandbox = sandbox_ref(s), .callback = callback, .userdata = userdata };
        r = list ? restrict_to(a, list) : netd_release(m->netd, s->id, on_released, a);
        if (r < 0)
                return r;
        service_hold(m->service);
        TAKE_PTR(a);
        return 0;
}

/* sandbox-netd does the same with its own when it starts, by what wires there are. */
int egress_forget_others(Manager *m) {
        _cleanup_strv_free_ char **ids = NULL;
        Sandbox *s;
        int r = 0;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (r >= 0 && egress_get_list(s->config))
                        r = strv_extend(&ids, s->id);
        return r < 0 ? r : dns_retain(m->dns, ids, peer_ignore, NULL);
}
