/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/env.h"

/* What commands see is changed at once and for good; the file that mirrors it is written before the answer, and an
 * answer that could not have it written says so. */

typedef struct EnvInput {
        char **vars, *key;
} EnvInput;

#define KEY_MAX 1024

static const JsonField set_fields[] = {
        { "vars", JSON_FIELD_MAP, offsetof(EnvInput, vars), JSON_FIELD_MANDATORY, 0, 0, "values by key" },
};
const JsonTable env_set_table = JSON_TABLE(set_fields);

static const JsonField key_fields[] = {
        { "key", JSON_FIELD_STRING, offsetof(EnvInput, key), JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, KEY_MAX,
          "letters, digits and _" },
};
const JsonTable env_key_table = JSON_TABLE(key_fields);

static json_t *names_of(char *const *assignments) {
        json_t *names = json_array();

        STRV_FOREACH(a, assignments)
                (void) json_array_append_new(names, json_stringn(*a, strcspn(*a, "=")));
        return names;
}

/* call->data is the answer. */
static void on_file_written(const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, NULL);

        if (error) {
                log_sandbox(LOG_INFO, call->sandbox->id, "Failed to write " ENV_FILE ", ignoring: %s", error->message);
                (void) json_object_set_new(call->data, "warning", json_string(ENV_FILE " could not be written"));
        }
        if (request)
                (void) request_reply_json(request, 200, json_incref(call->data));
}

static void free_json(void *data) {
        json_decref(data);
}

/* Takes reply over. */
static int answer_when_written(Request *request, Sandbox *s, json_t *reply) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, s);
        int r;

        if (!call || !reply) {
                json_decref(reply);
                return -ENOMEM;
        }
        call->data = reply;
        call->free_data = free_json;
        r = env_write_file(call->manager, s, on_file_written, call);
        if (r < 0)
                return r;
        TAKE_PTR(call);
        return 1;
}

static int do_set(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const EnvInput *in = userdata;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0 && strv_length(in->vars) == 0)
                r = bus_error_set(error, BUS_ERROR_INVALID, "No variables provided");
        if (r >= 0)
                r = env_set(m, s, in->vars, error);
        if (r < 0)
                return r;
        event_publish(m, "env.set", s->public_id, json_pack("{s:o}", "keys", names_of(in->vars)));
        return answer_when_written(request, s, json_pack("{s:o, s:I}", "set", names_of(in->vars), "count",
                                                         (json_int_t) strv_length(in->vars)));
}

int api_env_set(Request *request, sd_bus_error *error) {
        static const ApiInput route = { set_fields, ELEMENTSOF(set_fields), do_set };

        return api_with_input(request, &route, &(EnvInput) {}, error);
}

static int do_delete(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const EnvInput *in = userdata;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = env_unset(m, s, in->key, error);
        if (r < 0)
                return r;
        event_publish(m, "env.deleted", s->public_id, json_pack("{s:s}", "key", in->key));
        return answer_when_written(request, s, json_pack("{s:s}", "deleted", in->key));
}

int api_env_delete(Request *request, sd_bus_error *error) {
        static const ApiInput route = { key_fields, ELEMENTSOF(key_fields), do_delete };

        return api_with_input(request, &route, &(EnvInput) {}, error);
}

static int do_get(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **env = NULL;
        const EnvInput *in = userdata;
        const char *value;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r >= 0 && !env_name_is_valid(in->key))
                r = bus_error_set(error, BUS_ERROR_INVALID, "Invalid env key");
        if (r >= 0)
                r = env_list(s, &env);
        if (r < 0)
                return r;
        value = strv_env_get(env, in->key);
        return request_reply_json(request, 200, json_pack("{s:s, s:s?, s:b}", "key", in->key, "value", value, "exists",
                                                          value ? 1 : 0));
}

int api_env_get(Request *request, sd_bus_error *error) {
        static const ApiInput route = { key_fields, ELEMENTSOF(key_fields), do_get };

        return api_with_input(request, &route, &(EnvInput) {}, error);
}

int api_env_list(Request *request, sd_bus_error *error) {
        _cleanup_strv_free_ char **env = NULL;
        json_t *vars;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r >= 0)
                r = env_list(s, &env);
        if (r < 0)
                return r;
        vars = json_object();
        STRV_FOREACH(e, env) {
                size_t n = strcspn(*e, "=");

                (void) json_object_setn_new(vars, *e, n, json_string(*e + n + 1));
        }
        return request_reply_json(request, 200, json_pack("{s:o, s:I}", "vars", vars, "count",
                                                          (json_int_t) json_object_size(vars)));
}
