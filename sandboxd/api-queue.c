/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/json-body.h"

/* The queue as REST. What a job runs is described like any other command; see queue.h for how it comes to run. */

#define RETRIES_DEFAULT 3
#define RETRIES_MAX 1000
#define PAGE_MAX 1000

static const char *job_id(Request *request) {
        return request_path_value(request, "jobId") ?: "";
}

typedef struct SubmitInput {
        int64_t max_retries;
} SubmitInput;

static const JsonField submit_fields[] = {
        { "maxRetries", JSON_FIELD_INT, offsetof(SubmitInput, max_retries), JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 0,
          RETRIES_MAX, "attempts at most; 0 is one, too" },
};
const JsonTable queue_submit_table = { .fields = submit_fields, .n_fields = ELEMENTSOF(submit_fields),
                                       .more = &exec_table };

static int submit(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(exec_input_done) ExecInput input = { .spec = COMMAND_SPEC_DEFAULT };
        const SubmitInput *submitted = userdata;
        Manager *m = request_userdata(request);
        json_t *job;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = exec_input_read(request, s, EXEC_INPUT_LATER, &input, error);
        if (r < 0)
                return r;
        /* It would have to be kept with the job, and a pipe that breaks in the middle cannot be filled again. */
        if (input.input.data)
                return bus_error_set(error, BUS_ERROR_INVALID, "A queued command has no stdin; write a file first");
        r = queue_submit(m->queue, &(QueueRequest) { .sandbox = s->public_id, .command = input.text,
                                                     .argv = input.spec.argv, .env = input.env,
                                                     .cwd = input.spec.cwd, .uid = input.spec.uid,
                                                     .gid = input.spec.gid, .timeout_usec = input.spec.timeout_usec,
                                                     .max_retries = (unsigned) submitted->max_retries }, &job, error);
        return r < 0 ? r : request_reply_json(request, 200, job);
}

int api_queue_submit(Request *request, sd_bus_error *error) {
        static const ApiInput route = { submit_fields, ELEMENTSOF(submit_fields), submit };

        return api_with_input(request, &route, &(SubmitInput) { .max_retries = RETRIES_DEFAULT }, error);
}

/* The result stands last, and its output in it, so that what goes before can be put out as it is. */
static int reply_completed(Request *request, JobView *v) {
        static const char *const names[] = { "stdout", "stderr" };
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        _cleanup_(json_decrefp) json_t *result = json_incref(json_object_get(v->job, "result"));
        _cleanup_free_ char *job = NULL, *text = NULL;
        int r;

        (void) json_object_del(v->job, "result");
        job = json_dumps(v->job, JSON_COMPACT);
        text = json_dumps(result, JSON_COMPACT);
        if (!job || !text)
                return -ENOMEM;
        r = json_body_new(&b);
        if (r >= 0)
                r = json_body_add(b, "%.*s,\"result\":%.*s", (int) strlen(job) - 1, job, (int) strlen(text) - 1, text);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++) {
                r = json_body_add(b, ",\"%s\":", names[i]);
                if (r >= 0)
                        r = json_body_add_spool(b, v->outputs[i], 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        }
        if (r >= 0)
                r = json_body_add(b, "}}");
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), request, 200);
}

int api_queue_status(Request *request, sd_bus_error *error) {
        _cleanup_(job_view_done) JobView v = {};
        Manager *m = request_userdata(request);
        int r;

        r = queue_get(m->queue, job_id(request), &v, error);
        if (r < 0)
                return r;
        if (json_object_get(v.job, "result"))
                return reply_completed(request, &v);
        return request_reply_json(request, 200, TAKE_PTR(v.job));
}

static int reply_cancelled(Request *request) {
        return request_reply_json(request, 200, json_pack("{s:s}", "cancelled", job_id(request)));
}

static void on_cancelled(const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, error);

        if (request)
                (void) reply_cancelled(request);
}

int api_queue_cancel(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, NULL);
        int r;

        if (!call)
                return -ENOMEM;
        r = queue_cancel(call->manager->queue, job_id(request), on_cancelled, call, error);
        if (r > 0) {
                TAKE_PTR(call);
                return 1;
        }
        return r < 0 ? r : reply_cancelled(request);
}

int api_queue_requeue(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *job;
        int r;

        r = queue_requeue(m->queue, job_id(request), &job, error);
        return r < 0 ? r : request_reply_json(request, 200, job);
}

typedef struct ListInput {
        char *sandbox, *status, *id;
        int64_t limit, offset, cursor;
} ListInput;

static const JsonField dlq_fields[] = {
        { "limit",     JSON_FIELD_INT,    offsetof(ListInput, limit),   JSON_FIELD_CLAMP, 1, PAGE_MAX, "jobs a page" },
        { "offset",    JSON_FIELD_INT,    offsetof(ListInput, offset),  JSON_FIELD_CLAMP, 0, 1000000000, "jobs before it" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(ListInput, sandbox), 0, 0, 64, "only of this sandbox" },
};
const JsonTable queue_dlq_table = JSON_TABLE(dlq_fields);

static int list_dead(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const ListInput *in = userdata;
        uint64_t total, next;
        json_t *jobs;
        int r;

        (void) error;
        r = queue_list(m->queue, &(JobQuery) { .sandbox = in->sandbox, .status = job_status_to_string(JOB_FAILED),
                                               .offset = (uint64_t) in->offset, .limit = (uint64_t) in->limit },
                       &jobs, &total, &next);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:o, s:I}", "jobs", jobs, "total",
                                                                      (json_int_t) total));
}

int api_queue_dlq(Request *request, sd_bus_error *error) {
        static const ApiInput route = { dlq_fields, ELEMENTSOF(dlq_fields), list_dead };

        return api_with_input(request, &route, &(ListInput) { .limit = 50 }, error);
}

static const JsonField list_fields[] = {
        { "cursor",    JSON_FIELD_INT,    offsetof(ListInput, cursor),  JSON_FIELD_CLAMP, 0, (double) (UINT64_C(1) << 53),
          "nextCursor of the page before" },
        { "limit",     JSON_FIELD_INT,    offsetof(ListInput, limit),   JSON_FIELD_CLAMP, 1, PAGE_MAX, "jobs a page" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(ListInput, sandbox), 0, 0, 64, "only of this sandbox" },
        { "status",    JSON_FIELD_STRING, offsetof(ListInput, status),  0, 0, 16, "only in this state" },
};
const JsonTable queue_list_table = JSON_TABLE(list_fields);

static int list_all(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const ListInput *in = userdata;
        uint64_t total, next;
        json_t *jobs, *reply;
        int r;

        if (in->status && job_status_from_string(in->status) < 0)
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "status must be pending, running, completed, failed or cancelled");
        r = queue_list(m->queue, &(JobQuery) { .sandbox = in->sandbox, .status = in->status,
                                               .after = (uint64_t) in->cursor, .limit = (uint64_t) in->limit },
                       &jobs, &total, &next);
        if (r < 0)
                return r;
        reply = json_pack("{s:o, s:I}", "jobs", jobs, "total", (json_int_t) total);
        if (reply && next > 0)
                (void) json_object_set_new(reply, "nextCursor", json_integer((json_int_t) next));
        return request_reply_json(request, 200, reply);
}

int api_queue_list(Request *request, sd_bus_error *error) {
        static const ApiInput route = { list_fields, ELEMENTSOF(list_fields), list_all };

        return api_with_input(request, &route, &(ListInput) { .limit = 50 }, error);
}

static const JsonField purge_fields[] = {
        { "id",        JSON_FIELD_STRING, offsetof(ListInput, id),      0, 0, 64, "only this job" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(ListInput, sandbox), 0, 0, 64, "only of this sandbox" },
};
const JsonTable queue_purge_table = JSON_TABLE(purge_fields);

static int purge(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const ListInput *in = userdata;
        uint64_t n, left = 0;
        int r;

        (void) error;
        r = queue_purge(m->queue, in->sandbox, in->id, &n);
        if (r >= 0 && !in->id)
                r = store_count_objects(m->store, QUEUE_KIND, in->sandbox, job_status_to_string(JOB_FAILED), &left);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:I, s:I}", "purged", (json_int_t) n,
                                                                      "remaining", (json_int_t) left));
}

int api_queue_purge(Request *request, sd_bus_error *error) {
        static const ApiInput route = { purge_fields, ELEMENTSOF(purge_fields), purge };

        return api_with_input(request, &route, &(ListInput) {}, error);
}
