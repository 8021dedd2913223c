/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/volume.h"

/* Routes of volumes. The driver that clients name is accepted and means nothing. */

typedef struct VolumeInput {
        char *name;
        json_t *size;
} VolumeInput;

static const JsonField volume_fields[] = {
        { "name", JSON_FIELD_STRING, offsetof(VolumeInput, name), JSON_FIELD_MANDATORY, 0, VOLUME_NAME_MAX,
          "of any kind, others may have it" },
        { "size", JSON_FIELD_VALUE,  offsetof(VolumeInput, size), 0, 0, 0,
          "bytes that it may hold; a text may end in K, M, G or T", "{\"type\":[\"integer\",\"string\"]}" },
};
const JsonTable volume_table = JSON_TABLE(volume_fields);

static int read_size(const Manager *m, const json_t *size, uint64_t *ret, sd_bus_error *error) {
        uint64_t bytes = 0;
        int r = 0;

        if (!size) {
                *ret = m->settings.volume_bytes;
                return 0;
        }
        if (json_is_string(size))
                r = parse_size(json_string_value(size), &bytes);
        else if (json_is_integer(size) && json_integer_value(size) > 0)
                bytes = (uint64_t) json_integer_value(size);
        if (r < 0 || bytes < VOLUME_BYTES_MIN || bytes > VOLUME_BYTES_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "size must be from 1M to 1024T bytes");
        *ret = bytes;
        return 0;
}

static int create_volume(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_done) Volume v = {};
        Manager *m = request_userdata(request);
        const VolumeInput *input = userdata;
        uint64_t bytes = 0;
        int r;

        r = read_size(m, input->size, &bytes, error);
        if (r >= 0)
                r = volume_add(m->volumes, input->name, bytes, &v);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum volume limit reached: %u",
                                     m->settings.volumes_max);
        return r < 0 ? r : request_reply_json(request, 200, volume_to_json(&v));
}

int api_volume_create(Request *request, sd_bus_error *error) {
        static const ApiInput route = { volume_fields, ELEMENTSOF(volume_fields), create_volume };

        return api_with_input(request, &route, &(VolumeInput) {}, error);
}

int api_volume_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *list;
        int r;

        (void) error;
        r = volume_list(m->volumes, &list);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:o}", "volumes", list));
}

static void free_json(void *data) {
        json_decref(data);
}

/* The answer that is known beforehand. */
static int answer_prepared(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200, json_incref(call->data));
}

static int prepare(Request *request, Sandbox *s, json_t *answer, ApiCall **ret) {
        _cleanup_(json_decrefp) json_t *owned = answer;
        ApiCall *call;

        if (!answer)
                return -ENOMEM;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->answer = answer_prepared;
        call->data = TAKE_PTR(owned);
        call->free_data = free_json;
        *ret = call;
        return 0;
}

/* What a handler returns after it began: there may be nothing to wait for. */
static int begun(ApiCall **call, int r, sd_bus_error *error) {
        if (r != 0)
                return api_call_sent(call, r, error);
        api_call_done(NULL, NULL, TAKE_PTR(*call));
        return 0;
}

typedef struct AttachInput {
        char *sandbox, *path;
        bool read_only;
} AttachInput;

static const JsonField attach_fields[] = {
        { "mountPath", JSON_FIELD_STRING, offsetof(AttachInput, path), JSON_FIELD_MANDATORY, 0, VOLUME_PATH_MAX - 1,
          "a directory, absolute; it is made" },
        { "readOnly",  JSON_FIELD_BOOL,   offsetof(AttachInput, read_only), 0, 0, 0, "nothing can be written" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(AttachInput, sandbox), JSON_FIELD_MANDATORY, 0, 64,
          "one that runs, or is paused" },
};
const JsonTable volume_attach_table = JSON_TABLE(attach_fields);

static int find_sandbox(Request *request, const char *id, Sandbox **ret, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        Sandbox *s = manager_find_sandbox(m, id);

        if (!s)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s", id);
        request_set_sandbox(request, s->id);
        if (!sandbox_is_live(s) || s->elsewhere)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is not running: %s",
                                     sandbox_state_to_string(s->state));
        *ret = s;
        return 0;
}

/* The volume first: who names neither right learns of the one that the path names. */
static int attach_volume(Request *request, void *userdata, sd_bus_error *error) {
        const char *id = request_path_value(request, "volume");
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        _cleanup_(volume_done) Volume v = {};
        Manager *m = request_userdata(request);
        const AttachInput *input = userdata;
        VolumeAttachment where = { .path = input->path, .read_only = input->read_only };
        Sandbox *s = NULL;
        int r;

        if (!volume_path_is_valid(input->path))
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "mountPath must be an absolute path without . and .., and not below /dev, /proc, /sys");
        r = volume_get(m->volumes, id, &v, error);
        if (r >= 0)
                r = find_sandbox(request, input->sandbox, &s, error);
        if (r >= 0)
                r = prepare(request, s, json_pack("{s:b, s:s}", "attached", 1, "mountPath", input->path), &call);
        if (r < 0)
                return r;
        r = volume_attach(m->volumes, id, s, &where, api_call_done, call, error);
        return begun(&call, r, error);
}

int api_volume_attach(Request *request, sd_bus_error *error) {
        static const ApiInput route = { attach_fields, ELEMENTSOF(attach_fields), attach_volume };

        return api_with_input(request, &route, &(AttachInput) {}, error);
}

int api_volume_detach(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "volume");
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Manager *m = request_userdata(request);
        int r;

        r = prepare(request, NULL, json_pack("{s:b}", "detached", 1), &call);
        if (r < 0)
                return r;
        r = volume_detach(m->volumes, id, api_call_done, call, error);
        return begun(&call, r, error);
}

int api_volume_delete(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "volume");
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Manager *m = request_userdata(request);
        int r;

        r = prepare(request, NULL, json_pack("{s:s}", "deleted", id), &call);
        if (r < 0)
                return r;
        r = volume_remove(m->volumes, id, api_call_done, call, error);
        return begun(&call, r, error);
}

/* With what it holds, as far as anything counts that. */
static void on_usage(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        ApiCall *call = userdata;
        uint64_t used, max;

        if (reply && sd_bus_message_read(reply, "tt", &used, &max) >= 0)
                (void) json_object_set_new(call->data, "used", json_integer((json_int_t) used));
        (void) error;
        api_call_done(reply, NULL, call);
}

int api_volume_get(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "volume");
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        _cleanup_(volume_done) Volume v = {};
        Manager *m = request_userdata(request);
        int r;

        r = volume_get(m->volumes, id, &v, error);
        if (r >= 0)
                r = prepare(request, NULL, volume_to_json(&v), &call);
        if (r < 0)
                return r;
        r = volume_ask_usage(m->volumes, id, on_usage, call, error);
        return begun(&call, r, error);
}
