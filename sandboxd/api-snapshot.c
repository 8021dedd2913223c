/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/clone.h"
#include "sandboxd/snapshot.h"

/* Routes of snapshots, clones, forks and restores. */

#define NAME_MAX_BYTES 256

typedef struct NameInput {
        char *name;
} NameInput;

static const JsonField name_fields[] = {
        { "name", JSON_FIELD_STRING, offsetof(NameInput, name), JSON_FIELD_LENIENT, 0, NAME_MAX_BYTES,
          "for people; its id if there is none" },
};
const JsonTable clone_table = JSON_TABLE(name_fields), snapshot_table = JSON_TABLE(name_fields);

typedef struct ForkInput {
        int64_t count;
        char *name;
} ForkInput;

static const JsonField fork_fields[] = {
        { "count", JSON_FIELD_INT,    offsetof(ForkInput, count), JSON_FIELD_MANDATORY, 1, CLONES_MAX, "how many" },
        { "name",  JSON_FIELD_STRING, offsetof(ForkInput, name),  JSON_FIELD_LENIENT, 0, NAME_MAX_BYTES,
          "of all of them; their ids if there is none" },
};
const JsonTable fork_table = JSON_TABLE(fork_fields);

typedef struct RestoreInput {
        char *snapshot;
} RestoreInput;

static const JsonField restore_fields[] = {
        { "snapshotId", JSON_FIELD_STRING, offsetof(RestoreInput, snapshot), JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY,
          0, 64, "any snapshot" },
};
const JsonTable restore_table = JSON_TABLE(restore_fields);

static int find_snapshot(Manager *m, const char *id, json_t **ret, sd_bus_error *error) {
        int r = snapshot_get(m->store, id, ret);

        return r == -ENOENT ? bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Snapshot not found: %s", id) : r;
}

/* The request, if its client still waits; it is the server's then. */
static Request *take_request(ApiCall *call) {
        Request *request = TAKE_PTR(call->request);

        if (request)
                request_on_gone(request, NULL, NULL);
        return request;
}

static void start_entrypoints(Manager *m, Sandbox *const *clones, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (clones[i]->entrypoint)
                        api_start_entrypoint(m, clones[i]);
}

static void on_clone_named(const char *public_id, void *userdata) {
        const ApiCall *call = userdata;

        (void) idempotency_note_object(call->use, public_id);
}

static void on_cloned(Sandbox *const *clones, unsigned n, const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request;
        json_t *list;

        start_entrypoints(call->manager, clones, n);
        if (error) {
                api_call_fail(TAKE_PTR(call), error);
                return;
        }
        request = take_request(call);
        if (!request)
                return;
        if (call->number == 0) {
                (void) request_reply_json(request, 200, sandbox_to_json(call->manager, clones[0]));
                return;
        }
        list = json_array();
        for (unsigned i = 0; i < n; i++)
                (void) json_array_append_new(list, sandbox_to_json(call->manager, clones[i]));
        (void) request_reply_json(request, 200, json_pack("{s:o}", "sandboxes", list));
}

/* count 0: one, which is answered as it is. */
static int start_clone(Request *request, Sandbox *source, const json_t *snapshot, const char *name, int64_t count,
                       sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, source);
        int r;

        if (!call)
                return -ENOMEM;
        call->number = count;
        r = clone_start(call->manager, &(CloneRequest) {
                        .source = source, .snapshot = snapshot, .name = isempty(name) ? NULL : name,
                        .n = count > 0 ? (unsigned) count : 1, .on_named = call->use ? on_clone_named : NULL },
                        on_cloned, call, error);
        return api_call_sent(&call, r, error);
}

static int clone_sandbox(Request *request, void *userdata, sd_bus_error *error) {
        const NameInput *input = userdata;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        return r < 0 ? r : start_clone(request, s, NULL, input->name, 0, error);
}

int api_sandbox_clone(Request *request, sd_bus_error *error) {
        static const ApiInput route = { name_fields, ELEMENTSOF(name_fields), clone_sandbox };

        return api_with_input(request, &route, &(NameInput) {}, error);
}

static int fork_sandbox(Request *request, void *userdata, sd_bus_error *error) {
        const ForkInput *input = userdata;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r < 0)
                return r;
        if (input->count < 1 || input->count > CLONES_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "count must be between 1 and %d", CLONES_MAX);
        return start_clone(request, s, NULL, input->name, input->count, error);
}

int api_sandbox_fork(Request *request, sd_bus_error *error) {
        static const ApiInput route = { fork_fields, ELEMENTSOF(fork_fields), fork_sandbox };

        return api_with_input(request, &route, &(ForkInput) {}, error);
}

static int clone_snapshot(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        const NameInput *input = userdata;
        int r;

        r = find_snapshot(request_userdata(request), request_path_value(request, "snapshotId"), &record, error);
        return r < 0 ? r : start_clone(request, NULL, record, input->name, 0, error);
}

int api_snapshot_clone(Request *request, sd_bus_error *error) {
        static const ApiInput route = { name_fields, ELEMENTSOF(name_fields), clone_snapshot };

        return api_with_input(request, &route, &(NameInput) {}, error);
}

static void on_taken(json_t *record, const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request;

        if (!record) {
                api_call_fail(TAKE_PTR(call), error);
                return;
        }
        request = take_request(call);
        if (request)
                (void) request_reply_json(request, 200, snapshot_to_json(record));
}

static int create_snapshot(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const NameInput *input = userdata;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        r = snapshot_take(call->manager, &(SnapshotRequest) { .sandbox = s, .use = call->use,
                                                              .name = isempty(input->name) ? NULL : input->name },
                          on_taken, call, error);
        return api_call_sent(&call, r, error);
}

int api_snapshot_create(Request *request, sd_bus_error *error) {
        static const ApiInput route = { name_fields, ELEMENTSOF(name_fields), create_snapshot };

        return api_with_input(request, &route, &(NameInput) {}, error);
}

/* A sandbox that is gone has none, or had some: there is no telling it from one that never was. */
int api_snapshot_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *list;
        int r;

        (void) error;
        r = snapshot_list(m->store, request_path_value(request, "id"), &list);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:o}", "snapshots", list));
}

static void on_restored(const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request;

        if (error) {
                api_call_fail(TAKE_PTR(call), error);
                return;
        }
        request = take_request(call);
        if (request)
                (void) request_reply_json(request, 200, sandbox_to_json(call->manager, call->sandbox));
}

static int restore(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const RestoreInput *input = userdata;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = find_snapshot(request_userdata(request), input->snapshot, &record, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        r = snapshot_restore(call->manager, s, record, on_restored, call, error);
        return api_call_sent(&call, r, error);
}

int api_snapshot_restore(Request *request, sd_bus_error *error) {
        static const ApiInput route = { restore_fields, ELEMENTSOF(restore_fields), restore };

        return api_with_input(request, &route, &(RestoreInput) {}, error);
}

int api_snapshot_delete(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "snapshotId");
        _cleanup_(json_decrefp) json_t *record = NULL;
        Manager *m = request_userdata(request);
        int r;

        r = snapshot_get(m->store, id, &record);
        if (r >= 0)
                r = snapshot_remove(m, id);
        if (r == -ENOENT)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Snapshot not found: %s", id);
        if (r < 0)
                return r;
        event_publish(m, EVENT_SNAPSHOT_DELETED, json_string_value(json_object_get(record, "sandboxId")),
                      json_pack("{s:s}", "id", id));
        return request_reply_json(request, 200, json_pack("{s:s}", "deleted", id));
}
