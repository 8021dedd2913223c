/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/json-body.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/json-text.h"
#include "sandboxd/sandbox-event.h"

/* Commands that nobody waits for. Both streams go into one pipe, so that their order is the one in which they were
 * written; the spool is a named file, its command a row of the database: both are found again after a restart. The
 * entrypoint of a sandbox is such a command, too. */

static void on_started(Command *c, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, NULL);

        command_set_handlers(c, NULL, NULL);
        if (request)
                (void) request_reply_json(request, 200, background_to_json(c));
}

static void on_failed(Command *c, const sd_bus_error *error, void *userdata) {
        (void) c;
        api_call_fail(userdata, error);
}

/* It started and ended, and only the end was heard of. */
static void on_finished(Command *c, void *userdata) {
        on_started(c, userdata);
}

static const CommandHandlers background_handlers = {
        .on_started = on_started,
        .on_failed = on_failed,
        .on_finished = on_finished,
};

int api_exec_background(Request *request, sd_bus_error *error) {
        _cleanup_(exec_input_done) ExecInput input = { .spec = COMMAND_SPEC_DEFAULT };
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        _cleanup_(command_unrefp) Command *c = NULL;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = exec_input_read(request, s, EXEC_INPUT_NO_TIMEOUT, &input, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        r = command_new(call->manager, s, COMMAND_BACKGROUND, input.text, &c);
        if (r >= 0)
                r = idempotency_note_object(call->use, c->id);
        if (r >= 0)
                r = command_start(c, &input.spec, &input.input, &background_handlers, call);
        return api_call_sent(&call, r, error);
}

static int entrypoint_spec(const Sandbox *s, CommandSpec *spec, char **ret_text) {
        json_t *value;
        size_t i;
        int r = 0;

        json_array_foreach(s->entrypoint, i, value)
                if (r >= 0)
                        r = strv_extend(&spec->argv, json_string_value(value));
        if (r < 0)
                return r;
        r = exec_make_env(s, NULL, &spec->env);
        if (r < 0)
                return r;
        spec->cwd = strdup(sandbox_get_workdir(s) ?: "/");
        *ret_text = json_dumps(s->entrypoint, JSON_COMPACT);
        return spec->cwd && *ret_text ? 0 : -ENOMEM;
}

static void on_entrypoint_failed(Command *c, const sd_bus_error *error, void *userdata) {
        (void) userdata;
        log_sandbox(LOG_WARNING, c->sandbox->id, "The entrypoint did not start: %s", error->message);
        if (!c->sandbox->leaving)
                sandbox_event_error(c->manager, c->sandbox, "entrypoint-failed", error->message);
}

static const CommandHandlers entrypoint_handlers = { .on_failed = on_entrypoint_failed };

void api_start_entrypoint(Manager *m, Sandbox *s) {
        _cleanup_(command_spec_done) CommandSpec spec = COMMAND_SPEC_DEFAULT;
        _cleanup_(command_unrefp) Command *c = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = entrypoint_spec(s, &spec, &text);
        if (r >= 0)
                r = command_new(m, s, COMMAND_BACKGROUND, text, &c);
        if (r >= 0)
                r = command_start(c, &spec, &(CommandInput) {}, &entrypoint_handlers, NULL);
        if (r < 0)
                log_sandbox_errno(LOG_WARNING, r, s->id, "Failed to start the entrypoint: %m");
}

int api_background_status(Request *request, sd_bus_error *error) {
        Command *c;
        int r;

        r = api_get_background(request, &c, error);
        return r < 0 ? r : request_reply_json(request, 200, background_to_json(c));
}

typedef struct LogsInput {
        int64_t cursor;
        bool binary;
} LogsInput;

static const JsonField logs_fields[] = {
        { "binary", JSON_FIELD_BOOL, offsetof(LogsInput, binary), JSON_FIELD_LENIENT, 0, 0, "output as base64" },
        { "cursor", JSON_FIELD_INT, offsetof(LogsInput, cursor), JSON_FIELD_CLAMP, 0, (double) (UINT64_C(1) << 53),
          "byte position to go on from" },
};
const JsonTable background_logs_table = JSON_TABLE(logs_fields);

/* A live command may be in the middle of a character: its first bytes are left for the next call. */
static uint64_t readable_end(const Command *c, bool binary) {
        Spool *spool = c->outputs[0].spool;
        uint64_t total = spool_total(spool), cursor = total > 3 ? total - 3 : 0;
        char last[3];
        ssize_t n;

        if (!command_is_live(c) || total == 0 || binary)
                return total;
        n = spool_read(spool, &cursor, last, sizeof last);
        return n > 0 ? total - utf8_cut(last, (size_t) n) : total;
}

int api_background_logs(Request *request, sd_bus_error *error) {
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        uint64_t from, end, dropped = 0;
        LogsInput input = {};
        Command *c;
        int r;

        r = api_get_background(request, &c, error);
        if (r >= 0)
                r = json_fields_read(request_input(request), logs_fields, ELEMENTSOF(logs_fields), &input, error);
        if (r >= 0)
                r = json_body_new(&b);
        if (r < 0)
                return r;

        end = readable_end(c, input.binary);
        from = MIN((uint64_t) input.cursor, end);
        if (from < spool_tail_start(c->outputs[0].spool) && end > SPOOL_HEAD_MAX)
                dropped = spool_tail_start(c->outputs[0].spool) - MAX(from, SPOOL_HEAD_MAX);
        r = json_body_add(b, "{%s\"output\":", input.binary ? "\"encoding\":\"base64\"," : "");
        if (r >= 0)
                r = json_body_add_spool(b, c->outputs[0].spool, from, end,
                                        input.binary ? JSON_STRING_BASE64 : JSON_STRING_TEXT);
        if (r >= 0 && dropped > 0)
                r = json_body_add(b, ",\"dropped\":%llu", (unsigned long long) dropped);
        if (r >= 0)
                r = json_body_add(b, ",\"cursor\":%llu}", (unsigned long long) end);
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), request, 200);
}
