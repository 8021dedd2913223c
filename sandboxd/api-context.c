/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api-tool.h"
#include "sandboxd/context.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/json-body.h"

/* Contexts as objects: cells of a notebook are executed in them. What a context is and how it lives is context.h's. */

static int get_context(Request *request, SandboxNeed need, Context **ret, sd_bus_error *error) {
        const char *id = request_path_value(request, "context");
        Manager *m = request_userdata(request);
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, need, &s, error);
        if (r < 0)
                return r;
        *ret = context_find(m->contexts, s, id ?: "");
        if (!*ret)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "Context not found: %s", id ?: "");
        return 0;
}

/* data is the context. A client that is gone still has what it asked for: it finds it in the list. */
static void reply_started(ApiCall *call, Context *c, const ContextResult *result, const sd_bus_error *error,
                          bool fresh) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        Request *request;

        if (result && result->ended)
                (void) bus_error_set(&own, BUS_ERROR_INVALID, "The interpreter ended as soon as it began");
        else if (error)
                (void) sd_bus_error_copy(&own, error);
        request = api_call_take_request(call, sd_bus_error_is_set(&own) ? &own : NULL);
        if (request)
                (void) request_reply_json(request, 200, context_to_json(c));
        if (sd_bus_error_is_set(&own) && fresh)
                context_delete(c);
        api_call_free(call);
}

static void on_made(const ContextResult *result, const sd_bus_error *error, void *userdata) {
        ApiCall *call = userdata;

        /* Deleted meanwhile: then there is none any more. */
        if (error && sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE)) {
                api_call_fail(call, error);
                return;
        }
        if (!error && !result->ended)
                event_publish(call->manager, "context.created", call->sandbox->public_id,
                              context_to_json(call->data));
        reply_started(call, call->data, result, error, /* fresh= */ true);
}

static void on_restarted(const ContextResult *result, const sd_bus_error *error, void *userdata) {
        ApiCall *call = userdata;

        reply_started(call, call->data, result, error, /* fresh= */ false);
}

typedef struct ContextInput {
        char *language, *cwd;
} ContextInput;

static const JsonField new_fields[] = {
        { "cwd", JSON_FIELD_STRING, offsetof(ContextInput, cwd), JSON_FIELD_LENIENT, 0, 0, "where it starts" },
        { "language", JSON_FIELD_STRING, offsetof(ContextInput, language), JSON_FIELD_NONEMPTY, 0, 64,
          "python, javascript, bash" },
};
const JsonTable context_new_table = JSON_TABLE(new_fields);

static int make_context(Request *request, Sandbox *s, const Language *language, const char *cwd, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, s);
        Context *c;
        int r;

        if (!call)
                return -ENOMEM;
        r = context_new(call->manager, s, language, cwd, on_made, call, &c, error);
        if (r >= 0) {
                call->data = c;
                (void) idempotency_note_object(call->use, context_id(c));
        }
        return api_call_sent(&call, r, error);
}

static int do_new(Request *request, void *userdata, sd_bus_error *error) {
        const Manager *m = request_userdata(request);
        _cleanup_free_ char *cwd = NULL;
        const ContextInput *in = userdata;
        const Language *language;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r < 0)
                return r;
        language = language_find_stateful(in->language ?: "python", error);
        if (!language)
                return -EINVAL;
        r = exec_make_cwd(s, &m->settings, in->cwd, &cwd, error);
        return r < 0 ? r : make_context(request, s, language, cwd, error);
}

int api_context_new(Request *request, sd_bus_error *error) {
        static const ApiInput route = { new_fields, ELEMENTSOF(new_fields), do_new };

        return api_with_input(request, &route, &(ContextInput) {}, error);
}

int api_context_list(Request *request, sd_bus_error *error) {
        const Manager *m = request_userdata(request);
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        return request_reply_json(request, 200, json_pack("{s:o}", "contexts", contexts_to_json(m->contexts, s)));
}

int api_context_get(Request *request, sd_bus_error *error) {
        Context *c;
        int r;

        r = get_context(request, NEED_ANY, &c, error);
        return r < 0 ? r : request_reply_json(request, 200, context_to_json(c));
}

typedef struct CellInput {
        char *code;
        int64_t timeout;
} CellInput;

static const JsonField cell_fields[] = {
        { "code", JSON_FIELD_STRING, offsetof(CellInput, code), JSON_FIELD_MANDATORY, 0, 0, "to execute" },
        TOOL_TIMEOUT_FIELD(CellInput),
};
const JsonTable context_execute_table = JSON_TABLE(cell_fields);

typedef struct Cell {
        Request *request;
        Execution *execution;
        uint64_t timeout_usec;
} Cell;

/* A string of JSON with its quotes. NULL without memory. */
static char *to_json_text(const char *text) {
        _cleanup_free_ char *clean = utf8_sanitize(text, strlen(text));
        _cleanup_(json_decrefp) json_t *value = clean ? json_string(clean) : NULL;

        return value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
}

static char *error_text(const ContextResult *result, uint64_t timeout_usec) {
        char *text = NULL;
        int n = 0;

        if (result->timed_out)
                n = asprintf(&text, "Execution timed out after %llums%s",
                             (unsigned long long) (timeout_usec / USEC_PER_MSEC),
                             result->ended ? "; the context was ended, because it did not stop" : "");
        else if (result->ended)
                n = asprintf(&text, "The context ended");
        else if (result->error)
                return strdup(result->error);
        else if (result->status && !streq(result->status, "0"))
                n = asprintf(&text, "Ended with status %s", result->status);
        return n < 0 ? NULL : text;
}

static int add_text(JsonBody *b, const char *name, const char *text) {
        _cleanup_free_ char *json = text ? to_json_text(text) : NULL;

        if (text && !json)
                return -ENOMEM;
        return json_body_add(b, ",\"%s\":%s", name, json ?: "null");
}

static int reply_cell(Cell *cell, const ContextResult *result) {
        _cleanup_free_ char *error = error_text(result, cell->timeout_usec);
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        int r;

        r = json_body_new(&b);
        if (r >= 0)
                r = json_body_add(b, "{\"output\":");
        if (r >= 0)
                r = json_body_add_spool(b, result->outputs[0], 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        if (r >= 0)
                r = json_body_add(b, ",\"stderr\":");
        if (r >= 0)
                r = json_body_add_spool(b, result->outputs[1], 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        if (r >= 0)
                r = add_text(b, "error", error);
        if (r >= 0)
                r = add_text(b, "result", result->result);
        if (r >= 0)
                r = json_body_add(b, ",\"executionTime\":%llu%s}", (unsigned long long) result->duration_msec,
                                  result->timed_out ? ",\"timedOut\":true" : "");
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), cell->request, result->timed_out ? 504 : 200);
}

static void on_executed(const ContextResult *result, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ Cell *cell = userdata;
        int r;

        request_on_gone(cell->request, NULL, NULL);
        r = error ? request_reply_error(cell->request, error) : reply_cell(cell, result);
        if (r < 0 && !error)
                (void) request_reply_errno(cell->request, r);
}

static void on_gone(Request *request, void *userdata) {
        _cleanup_free_ Cell *cell = userdata;

        (void) request;
        execution_cancel(cell->execution);
}

static int do_execute(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_free_ Cell *cell = new0(Cell, 1);
        const CellInput *in = userdata;
        Context *c;
        int r;

        if (!cell)
                return -ENOMEM;
        r = get_context(request, NEED_RUNNING, &c, error);
        if (r < 0)
                return r;
        *cell = (Cell) { .request = request, .timeout_usec = api_tool_timeout(request_userdata(request), in->timeout) };
        r = context_execute(c, in->code, cell->timeout_usec, on_executed, cell, &cell->execution, error);
        if (r < 0)
                return r;
        request_on_gone(request, on_gone, TAKE_PTR(cell));
        return 1;
}

int api_context_execute(Request *request, sd_bus_error *error) {
        static const ApiInput route = { cell_fields, ELEMENTSOF(cell_fields), do_execute };

        return api_with_input(request, &route, &(CellInput) {}, error);
}

int api_context_interrupt(Request *request, sd_bus_error *error) {
        Context *c;
        int r;

        r = get_context(request, NEED_LIVE, &c, error);
        if (r < 0)
                return r;
        context_interrupt(c);
        return api_reply_success(request);
}

int api_context_restart(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Context *c;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = get_context(request, NEED_RUNNING, &c, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->data = c;
        r = context_restart(c, on_restarted, call, error);
        return api_call_sent(&call, r, error);
}

int api_context_delete(Request *request, sd_bus_error *error) {
        Context *c;
        int r;

        r = get_context(request, NEED_ANY, &c, error);
        if (r < 0)
                return r;
        context_delete(c);
        return request_reply_json(request, 200, json_pack("{s:s}", "deleted", request_path_value(request, "context")));
}
