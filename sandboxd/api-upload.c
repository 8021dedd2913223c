/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/body-pipe.h"
#include "sandboxd/file-input.h"
#include "sandboxd/path-rule.h"
#include "sandboxd/upload.h"

/* Files that come in parts. What HEAD and PATCH of an upload say and answer is the core of tus 1.0.0, so that clients of
 * that can go on with one. The worker tells how much is there; here is only remembered which uploads there are. Whoever
 * asks when an upload is whole finishes it, so that no crash between its last byte and its end matters. */

#define TUS_VERSION "1.0.0"

/* One request: what it waits for, and what it answers then. */
typedef struct Step Step;
struct Step {
        UploadWriter writer;
        BodyPipe body;
        Request *request;       /* NULL: its client is gone, or has been answered */
        Manager *manager;
        Sandbox *sandbox;
        IdempotencyUse *use;
        Upload upload;
        uint64_t offset;
        int (*answer)(Step *s);
        bool asked;
};

static Step *step_free(Step *s) {
        if (s) {
                if (s->request)
                        request_on_gone(s->request, NULL, NULL);
                upload_writer_unlink(&s->writer);
                body_pipe_close(&s->body);
                idempotency_use_unref(s->use);
                sandbox_unref(s->sandbox);
                upload_done(&s->upload);
                free(s);
        }
        return NULL;
}
DEFINE_CLEANUP(Step *, step_free)

/* The pipe ends early: what has come by then is kept. */
static void on_client_gone(Request *request, void *userdata) {
        Step *s = userdata;

        (void) request;
        s->request = s->body.request = NULL;
        body_pipe_close(&s->body);
        if (!s->asked)
                step_free(s);
}

static Step *step_new(Request *request, Sandbox *sandbox, int (*answer)(Step *s)) {
        Step *s = new0(Step, 1);

        if (s)
                *s = (Step) { .body = BODY_PIPE_NULL, .request = request, .manager = request_userdata(request),
                              .sandbox = sandbox_ref(sandbox), .answer = answer,
                              .use = idempotency_use_ref(request_guard_data(request)) };
        return s;
}

static Request *take_request(Step *s) {
        Request *request = TAKE_PTR(s->request);

        s->body.request = NULL;
        if (request)
                request_on_gone(request, NULL, NULL);
        return request;
}

static void step_fail(Step *s, const sd_bus_error *error) {
        Request *request = take_request(s);

        if (request)
                (void) request_reply_error(request, error);
        step_free(s);
}

static void step_fail_errno(Step *s, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        r = api_unavailable(r, &error);
        if (!sd_bus_error_is_set(&error))
                (void) sd_bus_error_set_errno(&error, r);
        step_fail(s, &error);
}

static int not_found(const char *id, sd_bus_error *error) {
        return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Upload not found: %s", id);
}

static void step_answer(Step *s) {
        if (s->request)
                (void) s->answer(s);
        step_free(s);
}

static int ask_fsd(Step *s, sd_bus_message *m, PeerFlags flags, PeerCallback callback) {
        int r = fsd_send(s->manager->fsd, m, flags, callback, s);

        if (r >= 0)
                s->asked = true;
        return r;
}

/* What a handler returns after it has asked: hands the step over to the answer, or says why not. */
static int step_asked(Step **s, int r, sd_bus_error *error) {
        if (r < 0)
                return api_unavailable(r, error);
        request_on_gone((*s)->request, on_client_gone, *s);
        *s = NULL;
        return 1;
}

/* --- the end of one */

static void complete(Step *s) {
        s->offset = s->upload.size;
        (void) upload_set_state(s->manager->uploads, &s->upload, UPLOAD_DONE);
        step_answer(s);
}

/* What was gathered is gone: as the target, if we had come to that, or taken away. */
static void on_missing(Step *s, bool was_finishing) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (was_finishing) {
                complete(s);
                return;
        }
        (void) upload_drop(s->manager->uploads, s->upload.id);
        (void) not_found(s->upload.id, &error);
        step_fail(s, &error);
}

static void on_finished(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Step *s = userdata;

        if (reply)
                complete(s);
        else if (sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_FILE))
                on_missing(s, /* was_finishing= */ false);
        else
                step_fail(s, error);
}

static int finish(Step *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = upload_set_state(s->manager->uploads, &s->upload, UPLOAD_FINISHING);
        if (r >= 0)
                r = fsd_files_message(s->manager->fsd, s->sandbox->id, "FinishUpload", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sstub", s->upload.path, s->upload.part, s->upload.size, s->upload.mode,
                                          (int) s->upload.keep_mode);
        return r < 0 ? r : ask_fsd(s, m, PEER_SLOW, on_finished);
}

/* So much is there. */
static void go_on(Step *s, uint64_t offset) {
        int r;

        s->offset = offset;
        if (offset != s->upload.size || s->upload.state == UPLOAD_DONE || s->sandbox->leaving) {
                step_answer(s);
                return;
        }
        r = finish(s);
        if (r < 0)
                step_fail_errno(s, r);
}

/* --- what is answered */

static void add_headers(const Step *s) {
        char text[32];

        (void) snprintf(text, sizeof text, "%llu", (unsigned long long) s->offset);
        (void) request_add_header(s->request, "Upload-Offset", text);
        (void) snprintf(text, sizeof text, "%llu", (unsigned long long) s->upload.size);
        (void) request_add_header(s->request, "Upload-Length", text);
        (void) request_add_header(s->request, "Tus-Resumable", TUS_VERSION);
        (void) request_add_header(s->request, "Cache-Control", "no-store");
}

static int answer_object(Step *s) {
        add_headers(s);
        return request_reply_json(take_request(s), 200,
                                  upload_to_json(s->manager->uploads, &s->upload, (int64_t) s->offset));
}

static int answer_empty(Step *s) {
        add_headers(s);
        return request_reply_empty(take_request(s), 204);
}

static int answer_made(Step *s) {
        _cleanup_free_ char *location = NULL;

        if (asprintf(&location, "%s/%s", request_path(s->request), s->upload.id) < 0)
                location = NULL;
        if (location)
                (void) request_add_header(s->request, "Location", location);
        return answer_object(s);
}

/* --- the routes */

typedef struct UploadInput {
        char *path, *mode;
        int64_t size;
} UploadInput;

static const JsonField begin_fields[] = {
        { "mode", JSON_FIELD_STRING, offsetof(UploadInput, mode), 0, 0, 0, "octal digits; default: what it has, or 0644" },
        { "path", JSON_FIELD_STRING, offsetof(UploadInput, path), JSON_FIELD_MANDATORY, 0, 0, "anywhere inside" },
        { "size", JSON_FIELD_INT,    offsetof(UploadInput, size), JSON_FIELD_MANDATORY, 0, 1e15, "bytes, in all" },
};
const JsonTable upload_table = JSON_TABLE(begin_fields);

static void on_begun(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Step *s = userdata;

        if (reply) {
                go_on(s, 0);
                return;
        }
        if (s->use)
                (void) idempotency_forget_object(s->use);
        (void) upload_drop(s->manager->uploads, s->upload.id);
        step_fail(s, error);
}

static int ask_begin(Step *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = fsd_files_message(s->manager->fsd, s->sandbox->id, "BeginUpload", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sst", s->upload.path, s->upload.part, s->upload.size);
        return r < 0 ? r : ask_fsd(s, m, 0, on_begun);
}

/* The record is first: what is made without one would lie there for ever. */
static int add(Step *s, sd_bus_error *error) {
        Manager *m = s->manager;
        int r;

        r = upload_add(m->uploads, s->sandbox->public_id, &s->upload);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum upload limit reached: %u",
                                     m->settings.uploads_max);
        if (r >= 0)
                r = idempotency_note_object(s->use, s->upload.id);
        if (r >= 0)
                r = ask_begin(s);
        if (r < 0)
                (void) upload_drop(m->uploads, s->upload.id);
        return r;
}

static int begin_upload(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(step_freep) Step *s = NULL;
        Manager *m = request_userdata(request);
        const UploadInput *in = userdata;
        Sandbox *sandbox;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &sandbox, error);
        if (r < 0)
                return r;
        if ((uint64_t) in->size > m->settings.upload_max)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "size is too large");
        s = step_new(request, sandbox, answer_made);
        if (!s)
                return -ENOMEM;
        s->upload = (Upload) { .size = (uint64_t) in->size, .mode = 0644, .keep_mode = !in->mode };
        r = path_anywhere(m->settings.workspace_dir, in->path, &s->upload.path, error);
        if (r >= 0 && in->mode)
                r = file_parse_mode(in->mode, &s->upload.mode, error);
        if (r >= 0)
                r = add(s, error);
        return step_asked(&s, r, error);
}

int api_upload_begin(Request *request, sd_bus_error *error) {
        static const ApiInput route = { begin_fields, ELEMENTSOF(begin_fields), begin_upload };

        return api_with_input(request, &route, &(UploadInput) {}, error);
}

/* Of the sandbox and the upload that the path names. */
static int step_for_request(Request *request, SandboxNeed need, int (*answer)(Step *s), Step **ret, sd_bus_error *error) {
        const char *id = request_path_value(request, "upload");
        _cleanup_(step_freep) Step *s = NULL;
        Manager *m = request_userdata(request);
        Sandbox *sandbox;
        int r;

        r = api_get_sandbox(request, need, &sandbox, error);
        if (r < 0)
                return r;
        s = step_new(request, sandbox, answer);
        if (!s)
                return -ENOMEM;
        r = upload_find(m->uploads, sandbox->public_id, id, &s->upload);
        if (r == -ENOENT)
                return not_found(id, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static void cut_other(const Step *s) {
        UploadWriter *other = upload_writer_find(s->manager->uploads, s->upload.id);

        if (other)
                other->cut(other);
}

static void on_size(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Step *s = userdata;
        uint64_t size;
        int r;

        if (error) {
                if (sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_FILE))
                        on_missing(s, s->upload.state == UPLOAD_FINISHING);
                else
                        step_fail(s, error);
                return;
        }
        r = sd_bus_message_read_basic(reply, 't', &size);
        if (r < 0)
                step_fail_errno(s, r);
        else
                go_on(s, size);
}

static int ask_size(Step *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = fsd_files_message(s->manager->fsd, s->sandbox->id, "UploadSize", &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', s->upload.part);
        return r < 0 ? r : ask_fsd(s, m, PEER_REPEATABLE, on_size);
}

/* Who asks by HEAD is about to go on, perhaps because he knows that his last connection is broken, which we may not know
 * yet. GET only looks: what is on its way counts. */
int api_upload_get(Request *request, sd_bus_error *error) {
        _cleanup_(step_freep) Step *s = NULL;
        const UploadWriter *other;
        int r;

        r = step_for_request(request, NEED_RUNNING, answer_object, &s, error);
        if (r < 0)
                return r;
        if (s->upload.state == UPLOAD_DONE) {
                s->offset = s->upload.size;
                return answer_object(s);
        }
        other = upload_writer_find(s->manager->uploads, s->upload.id);
        if (other && !streq(request_method(request), "HEAD")) {
                s->offset = ((const Step *) other)->offset + ((const Step *) other)->body.received;
                return answer_object(s);
        }
        cut_other(s);
        r = ask_size(s);
        return step_asked(&s, r, error);
}

static int add_upload(const Upload *upload, void *userdata) {
        const Manager *m = ((void **) userdata)[0];
        json_t *list = ((void **) userdata)[1];

        return json_array_append_new(list, upload_to_json(m->uploads, upload, -1)) < 0 ? -ENOMEM : 0;
}

int api_upload_list(Request *request, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        Manager *m = request_userdata(request);
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r >= 0)
                r = uploads_foreach(m->uploads, s->public_id, add_upload, (void *[]) { m, list });
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:O}", "uploads", list));
}

static int answer_deleted(Step *s) {
        return request_reply_json(take_request(s), 200, json_pack("{s:s}", "deleted", s->upload.id));
}

static void on_deleted(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Step *s = userdata;

        if (!reply) {
                step_fail(s, error);
                return;
        }
        (void) upload_drop(s->manager->uploads, s->upload.id);
        step_answer(s);
}

static int ask_delete(Step *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = fsd_files_message(s->manager->fsd, s->sandbox->id, "Delete", &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', s->upload.part);
        return r < 0 ? r : ask_fsd(s, m, PEER_REPEATABLE, on_deleted);
}

int api_upload_delete(Request *request, sd_bus_error *error) {
        _cleanup_(step_freep) Step *s = NULL;
        int r;

        r = step_for_request(request, NEED_RUNNING, answer_deleted, &s, error);
        if (r < 0)
                return r;
        cut_other(s);
        r = ask_delete(s);
        return step_asked(&s, r, error);
}

/* --- PATCH: bytes */

static void cut(UploadWriter *w) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Step *s = (Step *) w;
        Request *request = take_request(s);

        upload_writer_unlink(w);
        body_pipe_close(&s->body);
        if (!request)
                return;
        (void) bus_error_set(&error, BUS_ERROR_WRONG_STATE, "Another request goes on with this upload");
        (void) request_reply_error(request, &error);
}

static void on_appended(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Step *s = userdata;

        upload_writer_unlink(&s->writer);
        body_pipe_close(&s->body);
        (void) upload_touch(s->manager->uploads, &s->upload);
        on_size(reply, error, userdata);
}

static ssize_t on_data(void *userdata, const char *data, size_t n) {
        Step *s = userdata;

        return body_pipe_write(&s->body, data, n);
}

static int on_end(void *userdata, sd_bus_error *error) {
        Step *s = userdata;

        (void) error;
        body_pipe_close(&s->body);
        return 1;
}

static int ask_append(Step *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_close_ int theirs = -EBADF;
        int r;

        r = body_pipe_open(&s->body, s->manager->event, &theirs);
        if (r >= 0)
                r = fsd_files_message(s->manager->fsd, s->sandbox->id, "Append", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "stth", s->upload.part, s->offset, s->body.limit, theirs);
        return r < 0 ? r : ask_fsd(s, m, PEER_SLOW, on_appended);
}

static int check_append(Step *s, sd_bus_error *error) {
        const char *text = request_header(s->request, "Upload-Offset");
        uint64_t n = request_body_size(s->request);

        if (!text || parse_u64(text, &s->offset) < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "The header Upload-Offset must say where the bytes begin");
        if (s->offset > s->upload.size || (n != UINT64_MAX && n > s->upload.size - s->offset))
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "The upload was to have %llu bytes",
                                     (unsigned long long) s->upload.size);
        if (s->upload.state == UPLOAD_DONE)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "The upload is complete");
        s->body.limit = s->upload.size - s->offset;
        return 0;
}

static int receive(Step *s) {
        int r;

        s->body.request = s->request;
        memcpy(s->writer.id, s->upload.id, sizeof s->writer.id);
        s->writer.cut = cut;
        upload_writer_link(s->manager->uploads, &s->writer);
        request_on_gone(s->request, on_client_gone, s);
        r = request_receive(s->request, &(BodySink) { .write = on_data, .end = on_end, .userdata = s });
        if (r < 0)
                (void) take_request(s);
        return r;
}

int api_upload_append(Request *request, sd_bus_error *error) {
        _cleanup_(step_freep) Step *s = NULL;
        int r;

        r = step_for_request(request, NEED_RUNNING, answer_empty, &s, error);
        if (r >= 0)
                r = check_append(s, error);
        if (r < 0)
                return r;
        cut_other(s);
        r = ask_append(s);
        if (r < 0)
                return api_unavailable(r, error);
        r = receive(s);
        if (r < 0)
                body_pipe_close(&s->body); /* the worker's answer frees the rest */
        TAKE_PTR(s);
        return r < 0 ? r : 1;
}
