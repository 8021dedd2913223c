/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/network.h"

/* Routes of networks. */

typedef struct NetworkInput {
        char *name, *driver;
} NetworkInput;

static const JsonField network_fields[] = {
        { "driver", JSON_FIELD_STRING, offsetof(NetworkInput, driver), 0, 0, 64, "bridge" },
        { "name",   JSON_FIELD_STRING, offsetof(NetworkInput, name),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, NETWORK_NAME_MAX, "a name that no other has" },
};
const JsonTable network_table = JSON_TABLE(network_fields);

typedef struct MemberInput {
        char *sandbox;
} MemberInput;

static const JsonField member_fields[] = {
        { "sandboxId", JSON_FIELD_STRING, offsetof(MemberInput, sandbox),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, 64, "the sandbox" },
};
const JsonTable network_member_table = JSON_TABLE(member_fields);

static int check_there(Manager *m, sd_bus_error *error) {
        if (netd_is_there(m->netd))
                return 0;
        return bus_error_set(error, BUS_ERROR_INVALID, "networks are not part of this installation (sandbox-netd)");
}

static int create_network(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const NetworkInput *input = userdata;
        Network *network;
        int r;

        if (input->driver && !streq(input->driver, "bridge"))
                return bus_error_set(error, BUS_ERROR_INVALID, "driver must be bridge");
        r = check_there(m, error);
        if (r < 0)
                return r;
        r = network_add(m->networks, input->name, &network);
        if (r == -EEXIST)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Network %s already exists", input->name);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum network limit reached: %u", NETWORKS_MAX);
        if (r < 0)
                return r;
        event_publish(m, "network.created", NULL, network_to_json(network));
        return request_reply_json(request, 200, network_to_json(network));
}

int api_network_create(Request *request, sd_bus_error *error) {
        static const ApiInput route = { network_fields, ELEMENTSOF(network_fields), create_network };

        return api_with_input(request, &route, &(NetworkInput) {}, error);
}

int api_network_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);

        (void) error;
        return request_reply_json(request, 200, json_pack("{s:o}", "networks", networks_to_json(m->networks)));
}

static int get_network(Request *request, Network **ret, sd_bus_error *error) {
        const char *id = request_path_value(request, "network");
        Manager *m = request_userdata(request);

        *ret = network_find(m->networks, id);
        return *ret ? 0 : bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Network not found: %s", id);
}

static int get_sandbox(Request *request, const char *id, Sandbox **ret, sd_bus_error *error) {
        Sandbox *s = manager_find_sandbox(request_userdata(request), id);

        if (!s)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s", id);
        request_set_sandbox(request, s->id);
        *ret = s;
        return 0;
}

static void publish(ApiCall *call, const char *topic) {
        event_publish(call->manager, topic, call->sandbox ? call->sandbox->public_id : NULL,
                      json_pack("{s:s}", "networkId", (const char *) call->data));
}

static int answer_connected(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200, json_pack("{s:b}", "connected", 1));
}

static int answer_disconnected(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200, json_pack("{s:b}", "disconnected", 1));
}

static int answer_deleted(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200, json_pack("{s:s}", "deleted", (const char *) call->data));
}

static void on_connected(const sd_bus_error *error, void *userdata) {
        if (!error)
                publish(userdata, "network.connected");
        api_call_done(NULL, error, userdata);
}

static void on_disconnected(const sd_bus_error *error, void *userdata) {
        if (!error)
                publish(userdata, "network.disconnected");
        api_call_done(NULL, error, userdata);
}

static void on_deleted(const sd_bus_error *error, void *userdata) {
        if (!error)
                publish(userdata, "network.deleted");
        api_call_done(NULL, error, userdata);
}

static int call_new(Request *request, Sandbox *s, const char *network, ApiAnswer answer, ApiCall **ret) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, s);

        if (!call)
                return -ENOMEM;
        call->answer = answer;
        call->data = strdup(network);
        call->free_data = free;
        if (!call->data)
                return -ENOMEM;
        *ret = TAKE_PTR(call);
        return 0;
}

static int connect_member(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const MemberInput *input = userdata;
        Network *network;
        Sandbox *s = NULL;
        int r;

        r = get_network(request, &network, error);
        if (r >= 0)
                r = get_sandbox(request, input->sandbox, &s, error);
        if (r < 0)
                return r;
        if (s->elsewhere || !sandbox_is_live(s))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is not running: %s",
                                     sandbox_state_to_string(s->state));
        r = call_new(request, s, request_path_value(request, "network"), answer_connected, &call);
        if (r < 0)
                return r;
        r = network_connect(network, s, on_connected, call);
        if (r == -EEXIST)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is already connected: %s", s->public_id);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum member limit reached: %u",
                                     NETWORK_MEMBERS_MAX);
        return api_call_sent(&call, r, error);
}

int api_network_connect(Request *request, sd_bus_error *error) {
        static const ApiInput route = { member_fields, ELEMENTSOF(member_fields), connect_member };

        return api_with_input(request, &route, &(MemberInput) {}, error);
}

static int disconnect_member(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const MemberInput *input = userdata;
        Network *network;
        Sandbox *s = NULL;
        int r;

        r = get_network(request, &network, error);
        if (r >= 0)
                r = get_sandbox(request, input->sandbox, &s, error);
        if (r >= 0)
                r = call_new(request, s, request_path_value(request, "network"), answer_disconnected, &call);
        if (r < 0)
                return r;
        r = network_disconnect(network, s, on_disconnected, call);
        if (r == -ENOENT)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is not connected: %s", s->public_id);
        return api_call_sent(&call, r, error);
}

int api_network_disconnect(Request *request, sd_bus_error *error) {
        static const ApiInput route = { member_fields, ELEMENTSOF(member_fields), disconnect_member };

        return api_with_input(request, &route, &(MemberInput) {}, error);
}

int api_network_delete(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Network *network;
        int r;

        r = get_network(request, &network, error);
        if (r >= 0)
                r = call_new(request, NULL, request_path_value(request, "network"), answer_deleted, &call);
        if (r < 0)
                return r;
        r = network_remove(network, on_deleted, call);
        return api_call_sent(&call, r, error);
}
