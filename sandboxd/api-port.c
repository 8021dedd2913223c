/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/port.h"

/* Routes of ports. What systemd has counts: a listener without a row, of a daemon that was killed between the two, gets
 * its row back, and a row without a listener says so by its state. */

typedef struct PortInput {
        int64_t container_port, host_port;
        char *protocol;
} PortInput;

static const JsonField expose_fields[] = {
        { "containerPort", JSON_FIELD_INT,    offsetof(PortInput, container_port), JSON_FIELD_MANDATORY, 1, 65535,
          "on the sandbox's loopback" },
        { "hostPort",      JSON_FIELD_INT,    offsetof(PortInput, host_port),      0, 1, 65535,
          "default: the same, or any if that is taken" },
        { "protocol",      JSON_FIELD_STRING, offsetof(PortInput, protocol),       0, 0, 16, "tcp (default) or udp" },
};
const JsonTable port_expose_table = JSON_TABLE(expose_fields);

static const JsonField remove_fields[] = {
        { "containerPort", JSON_FIELD_INT,    offsetof(PortInput, container_port), JSON_FIELD_MANDATORY, 1, 65535,
          "on the sandbox's loopback" },
        { "protocol",      JSON_FIELD_STRING, offsetof(PortInput, protocol),       0, 0, 16, "tcp or udp; default: both" },
};
const JsonTable port_remove_table = JSON_TABLE(remove_fields);

static int check_protocol(const char *protocol, sd_bus_error *error) {
        if (!protocol || streq(protocol, "tcp") || streq(protocol, "udp"))
                return 0;
        return bus_error_set(error, BUS_ERROR_INVALID, "protocol must be tcp or udp");
}

static int already_exposed(const Port *p, sd_bus_error *error) {
        return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Port %u/%s already exposed", p->container_port,
                             port_protocol(p->udp));
}

static void publish(Manager *m, const char *topic, const Sandbox *s, const Port *p) {
        event_publish(m, topic, s->public_id, json_pack("{s:i, s:i, s:s}", "containerPort", p->container_port,
                                                        "hostPort", p->host_port, "protocol", port_protocol(p->udp)));
}

/* The row and the client's key that leads to it, both or none. */
static int note(ApiCall *call, Port *p) {
        Store *store = call->manager->store;
        int r, k;

        r = store_begin(store);
        if (r < 0)
                return r;
        r = port_add(store, call->sandbox->public_id, p);
        if (r >= 0)
                r = idempotency_note_object(call->use, p->id);
        k = store_end(store);
        return r < 0 ? r : k;
}

/* Calls under way: of a listener whose row is still to come, nobody else makes one. */
static unsigned n_exposing;

/* Also when the client is gone: the port is exposed. A second one that asked for the same at the same time finds the row
 * of the first, and host_port stays 0. */
static void on_exposed(ApiCall *call, sd_bus_message *reply, const sd_bus_error *error) {
        Manager *m = call->manager;
        uint16_t host_port;
        Port *p = call->data, other;

        (void) error;
        n_exposing--;
        if (!reply || call->sandbox->leaving || sd_bus_message_read_basic(reply, 'q', &host_port) < 0 ||
            port_find(m->store, call->sandbox->public_id, p->container_port, p->udp, &other) >= 0)
                return;
        p->host_port = host_port;
        if (note(call, p) >= 0)
                publish(m, "port.exposed", call->sandbox, p);
}

static int answer_exposed(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        const Port *p = call->data;

        (void) reply;
        if (call->sandbox->leaving)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s",
                                     call->sandbox->public_id);
        if (p->host_port == 0)
                return already_exposed(p, error);
        return request_reply_json(call->request, 200, port_to_json(p, true));
}

static int check_expose(Manager *m, const Sandbox *s, const Port *p, sd_bus_error *error) {
        uint64_t n;
        Port other;
        int r;

        r = port_find(m->store, s->public_id, p->container_port, p->udp, &other);
        if (r != -ENOENT)
                return r < 0 ? r : already_exposed(p, error);
        r = port_count(m->store, s->public_id, &n);
        if (r >= 0 && n >= m->settings.ports_max)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum port limit reached: %u",
                                     m->settings.ports_max);
        return r;
}

/* A query has nothing but text, so text is taken for a number wherever it stands; in a body it is a mistake. */
static int check_number(Request *request, const char *name, sd_bus_error *error) {
        if (!json_is_string(json_object_get(request_input(request), name)) || request_query(request, name))
                return 0;
        return bus_error_set(error, BUS_ERROR_INVALID, "%s must be an integer from 1 to 65535", name);
}

static int send_expose(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Manager *m = request_userdata(request);
        const PortInput *input = userdata;
        Sandbox *s;
        Port *p;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = check_protocol(input->protocol, error);
        if (r >= 0)
                r = check_number(request, "containerPort", error);
        if (r >= 0)
                r = check_number(request, "hostPort", error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        p = new0(Port, 1);
        if (!call || !p) {
                free(p);
                return -ENOMEM;
        }
        p->container_port = (uint16_t) input->container_port;
        p->udp = streq_ptr(input->protocol, "udp");
        call->data = p;
        call->free_data = free;
        call->on_reply = on_exposed;
        call->answer = answer_exposed;
        r = check_expose(m, s, p, error);
        if (r < 0)
                return r;
        r = execd_expose(m->execd, &(ExposeCall) { .sandbox = s->id, .container_port = p->container_port,
                                                   .protocol = port_protocol(p->udp),
                                                   .host_port = (uint16_t) (input->host_port ?: input->container_port),
                                                   .insist = input->host_port > 0 }, api_call_done, call);
        n_exposing += r >= 0;
        return api_call_sent(&call, r, error);
}

int api_port_expose(Request *request, sd_bus_error *error) {
        static const ApiInput route = { expose_fields, ELEMENTSOF(expose_fields), send_expose };

        return api_with_input(request, &route, &(PortInput) {}, error);
}

/* Listeners that systemd has; rows that are found are struck off. */
typedef struct Listing {
        json_t *ports;
        Port active[64];
        size_t n_active;
} Listing;

static int add_row(const Port *p, void *userdata) {
        Listing *l = userdata;
        bool active = false;

        for (size_t i = 0; i < l->n_active; i++)
                if (l->active[i].container_port == p->container_port && l->active[i].udp == p->udp) {
                        active = true;
                        l->active[i] = l->active[--l->n_active];
                        break;
                }
        return json_array_append_new(l->ports, port_to_json(p, active));
}

static int reply_list(Request *request, Manager *m, const Sandbox *s, Listing *l) {
        _cleanup_(json_decrefp) json_t *ports = json_array();
        int r;

        l->ports = ports;
        r = port_foreach(m->store, s->public_id, add_row, l);
        for (size_t i = 0; r >= 0 && i < l->n_active; i++) {
                if (n_exposing == 0 && !s->leaving)
                        r = port_add(m->store, s->public_id, l->active + i);
                if (r >= 0)
                        r = json_array_append_new(ports, port_to_json(l->active + i, true));
        }
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:O}", "ports", ports));
}

static int answer_list(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        const char *protocol;
        Listing l = {};
        Port p = {};
        int r, active;

        (void) error;
        r = sd_bus_message_enter_container(reply, 'a', "(qsqb)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(qsqb)", &p.container_port, &protocol, &p.host_port,
                                                  &active)) > 0) {
                p.udp = streq(protocol, "udp");
                if (active && l.n_active < ELEMENTSOF(l.active))
                        l.active[l.n_active++] = p;
        }
        return r < 0 ? r : reply_list(call->request, call->manager, call->sandbox, &l);
}

int api_port_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        if (!sandbox_is_live(s) || s->elsewhere)
                return reply_list(request, m, s, &(Listing) {});
        return api_ask_execd(request, "Ports", answer_list, error);
}

typedef struct Removed {
        uint16_t container_port;
        Port ports[2];
        size_t n;
} Removed;

static void forget_rows(Manager *m, const Sandbox *s, const Removed *removed) {
        for (size_t i = 0; i < removed->n; i++)
                if (port_remove(m->store, removed->ports + i) >= 0)
                        publish(m, "port.removed", s, removed->ports + i);
}

static void on_removed(ApiCall *call, sd_bus_message *reply, const sd_bus_error *error) {
        (void) error;
        if (reply && !call->sandbox->leaving)
                forget_rows(call->manager, call->sandbox, call->data);
}

static int reply_removed(Request *request, const Removed *removed) {
        return request_reply_json(request, 200, json_pack("{s:i}", "removed", removed->container_port));
}

static int answer_removed(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return reply_removed(call->request, call->data);
}

static int find_removed(Manager *m, const Sandbox *s, const PortInput *input, Removed *ret, sd_bus_error *error) {
        Removed removed = { .container_port = (uint16_t) input->container_port };
        int r;

        r = check_protocol(input->protocol, error);
        for (int udp = 0; r >= 0 && udp < 2; udp++) {
                if (input->protocol && !streq(input->protocol, port_protocol(udp)))
                        continue;
                r = port_find(m->store, s->public_id, removed.container_port, udp, removed.ports + removed.n);
                if (r >= 0)
                        removed.n++;
                else if (r == -ENOENT)
                        r = 0;
        }
        if (r >= 0 && removed.n == 0)
                r = bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Port %u is not exposed", removed.container_port);
        *ret = removed;
        return r;
}

static int send_remove(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Manager *m = request_userdata(request);
        const PortInput *input = userdata;
        Removed removed;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r >= 0)
                r = find_removed(m, s, input, &removed, error);
        if (r < 0)
                return r;
        if (!sandbox_is_live(s)) { /* its listeners went with it */
                forget_rows(m, s, &removed);
                return reply_removed(request, &removed);
        }
        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->data = malloc(sizeof removed);
        if (!call->data)
                return -ENOMEM;
        memcpy(call->data, &removed, sizeof removed);
        call->free_data = free;
        call->on_reply = on_removed;
        call->answer = answer_removed;
        r = execd_unexpose(m->execd, s->id, removed.container_port, input->protocol ?: "", api_call_done, call);
        return api_call_sent(&call, r, error);
}

int api_port_remove(Request *request, sd_bus_error *error) {
        static const ApiInput route = { remove_fields, ELEMENTSOF(remove_fields), send_remove };

        return api_with_input(request, &route, &(PortInput) {}, error);
}
