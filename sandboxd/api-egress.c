/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/egress.h"
#include "sandboxd/network.h"

/* What a sandbox may reach, and what was decided. A new list is in force before its record is written, and the record is
 * before the answer: should we be killed in between, the next start makes the kernel have what the record says. */

typedef struct EgressInput {
        json_t *allow;
} EgressInput;

static const JsonField egress_fields[] = {
        { "allow", JSON_FIELD_VALUE, offsetof(EgressInput, allow), 0, 0, 0,
          "prefixes and names, each perhaps with a port; null: everything",
          "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"}}" },
};
const JsonTable egress_table = JSON_TABLE(egress_fields);

static int get_networked(Request *request, SandboxNeed need, Sandbox **ret, sd_bus_error *error) {
        int r;

        r = api_get_sandbox(request, need, ret, error);
        if (r < 0)
                return r;
        if (!json_is_true(json_object_get((*ret)->config, "network")))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox has no network: %s", (*ret)->public_id);
        return 0;
}

static json_t *list_to_json(const json_t *list) {
        const char *mode = !list ? "all" : json_array_size(list) == 0 ? "none" : "list";

        return json_pack("{s:s, s:O?}", "mode", mode, "allow", list);
}

static int answer_changed(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200, list_to_json(egress_get_list(call->sandbox->config)));
}

/* What was not answered with success is undone; should that fail, too, the next start does it. */
static void ignore(const sd_bus_error *error, void *userdata) {
        (void) error;
        (void) userdata;
}

static void on_changed(const sd_bus_error *error, void *userdata) {
        ApiCall *call = userdata;
        Manager *m = call->manager;
        Sandbox *s = call->sandbox;
        json_t *list = call->data;

        if (s->leaving)
                (void) network_restrict(m->networks, s, NULL, ignore, NULL);
        else if (error && !m->stopping && s->n_restricting == 0) /* else a later one is under way, which counts */
                (void) network_restrict(m->networks, s, egress_get_list(s->config), ignore, NULL);
        else if (!error) {
                (void) egress_set_list(s->config, json_incref(list));
                (void) manager_save_sandbox(m, s);
                event_publish(m, "sandbox.egress", s->public_id, list_to_json(list));
        }
        api_call_done(NULL, error, call);
}

static void free_list(void *data) {
        json_decref(data);
}

static int change(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const EgressInput *input = userdata;
        json_t *list = NULL;
        Sandbox *s;
        int r;

        if (!json_object_get(request_input(request), "allow"))
                return bus_error_set(error, BUS_ERROR_INVALID, "allow is required");
        r = input->allow ? egress_list_read(input->allow, &list, error) : 0;
        if (r >= 0)
                r = get_networked(request, NEED_LIVE, &s, error);
        if (r >= 0)
                call = api_call_new(request, s);
        if (!call) {
                json_decref(list);
                return r < 0 ? r : -ENOMEM;
        }
        call->answer = answer_changed;
        call->data = list;
        call->free_data = free_list;
        r = network_restrict(call->manager->networks, s, list, on_changed, call);
        return api_call_sent(&call, r, error);
}

int api_egress_set(Request *request, sd_bus_error *error) {
        static const ApiInput route = { egress_fields, ELEMENTSOF(egress_fields), change };

        return api_with_input(request, &route, &(EgressInput) {}, error);
}

/* What it says of itself: first the kernel is asked, then sandbox-dns. */

static json_t *refusal_to_json(const NetdRefusal *n) {
        static const struct { uint32_t number; const char *name; bool has_port; } protocols[] = {
                { 1, "icmp", false }, { 6, "tcp", true }, { 17, "udp", true },
        };
        const char *name = NULL;
        bool has_port = false;

        for (size_t i = 0; i < ELEMENTSOF(protocols); i++)
                if (protocols[i].number == n->protocol) {
                        name = protocols[i].name;
                        has_port = protocols[i].has_port;
                }
        return json_pack("{s:s, s:s, s:s, s:o, s:o*, s:I}", "kind", "connection", "decision", "denied",
                         "address", n->address, "protocol", name ? json_string(name) : json_sprintf("%u", n->protocol),
                         "port", has_port ? json_integer(n->port) : NULL, "count", (json_int_t) n->packets);
}

static json_t *decision_to_json(const DnsDecision *d) {
        static const char *const verdicts[] = { "denied", "allowed", "private" };

        return json_pack("{s:s, s:s, s:s, s:i, s:I, s:I}", "kind", "name", "decision",
                         verdicts[MIN(d->verdict, (uint32_t) ELEMENTSOF(verdicts) - 1)], "name", d->name, "type", (int) d->type,
                         "count", (json_int_t) d->count, "time", (json_int_t) d->time_msec);
}

static int add_refusals(json_t *shown, sd_bus_message *reply) {
        json_t *counters = json_object_get(shown, "counters"), *recent = json_object_get(shown, "recent");
        uint64_t accepted, refused;
        NetdRefusal row;
        int r;

        r = netd_read_sums(reply, &accepted, &refused);
        if (r < 0)
                return r;
        (void) json_object_set_new(counters, "connectionsAllowed", json_integer((json_int_t) accepted));
        (void) json_object_set_new(counters, "packetsDenied", json_integer((json_int_t) refused));
        while ((r = netd_read_refusal(reply, &row)) > 0)
                (void) json_array_append_new(recent, refusal_to_json(&row));
        return r;
}

static int add_decisions(json_t *shown, sd_bus_message *reply) {
        json_t *counters = json_object_get(shown, "counters"), *recent = json_object_get(shown, "recent");
        uint64_t allowed, denied, private;
        DnsDecision row;
        int r;

        r = dns_read_sums(reply, &allowed, &denied, &private);
        if (r < 0)
                return r;
        (void) json_object_set_new(counters, "namesAllowed", json_integer((json_int_t) allowed));
        (void) json_object_set_new(counters, "namesDenied", json_integer((json_int_t) denied));
        (void) json_object_set_new(counters, "namesPrivate", json_integer((json_int_t) private));
        while ((r = dns_read_decision(reply, &row)) > 0)
                (void) json_array_append_new(recent, decision_to_json(&row));
        return r;
}

static int answer_shown(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        int r;

        (void) error;
        r = add_decisions(call->data, reply);
        return r < 0 ? r : request_reply_json(call->request, 200, json_incref(call->data));
}

static void on_refusals(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        ApiCall *call = userdata;
        int r = -EIO;

        if (reply)
                r = add_refusals(call->data, reply);
        if (r >= 0)
                r = dns_decisions(call->manager->dns, call->sandbox->id, api_call_done, call);
        if (r >= 0)
                return;
        if (!error) {
                (void) api_unavailable(r, &own);
                error = &own;
        }
        api_call_done(NULL, error, call);
}

int api_egress_get(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        json_t *shown;
        Sandbox *s;
        int r;

        r = get_networked(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        shown = list_to_json(egress_get_list(s->config));
        if (!egress_get_list(s->config) || !sandbox_is_live(s))
                return request_reply_json(request, 200, shown);
        (void) json_object_set_new(shown, "counters", json_object());
        (void) json_object_set_new(shown, "recent", json_array());
        call = api_call_new(request, s);
        if (!call) {
                json_decref(shown);
                return -ENOMEM;
        }
        call->data = shown;
        call->free_data = free_list;
        call->answer = answer_shown;
        r = netd_decisions(call->manager->netd, s->id, on_refusals, call);
        return api_call_sent(&call, r, error);
}
