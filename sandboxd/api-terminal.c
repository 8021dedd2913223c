/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api-terminal.h"
#include "sandboxd/api.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/terminal.h"

/* Terminals as objects; their bytes are in api-terminal-io.c. A terminal stays when its client goes away and is there for
 * the next one, also after its command has ended, until it is deleted. */

#define SHELL "/bin/sh"

typedef struct SizeInput {
        int64_t columns, rows;
} SizeInput;

#define SIZE_FIELDS(flags)                                                                         \
        { "cols", JSON_FIELD_INT, offsetof(SizeInput, columns), flags, 1, TERMINAL_SIZE_MAX, "characters a line" }, \
        { "rows", JSON_FIELD_INT, offsetof(SizeInput, rows), flags, 1, TERMINAL_SIZE_MAX, "lines" }

static const JsonField open_fields[] = { SIZE_FIELDS(0) };
const JsonTable terminal_open_table = { .fields = open_fields, .n_fields = ELEMENTSOF(open_fields),
                                        .more = &exec_table, .optional = "command" };

static const JsonField resize_fields[] = { SIZE_FIELDS(JSON_FIELD_MANDATORY) };
const JsonTable terminal_resize_table = JSON_TABLE(resize_fields);

int api_get_terminal(Request *request, Command **ret, sd_bus_error *error) {
        const char *id = request_path_value(request, "terminal"), *session = request_path_value(request, "sessionId");
        Sandbox *s;
        Command *c;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        c = manager_find_command(request_userdata(request), id ?: session ?: "");
        if (!c || c->sandbox != s || c->kind != COMMAND_TERMINAL || c->forgotten)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "Terminal%s not found: %s",
                                     session ? " session" : "", id ?: session ?: "");
        *ret = c;
        return 0;
}

json_t *terminal_to_json(const Command *c) {
        json_t *object = background_to_json(c);
        uint32_t rows, columns;

        terminal_get_size(c, &rows, &columns);
        (void) json_object_update_new(object, json_pack("{s:i, s:i, s:I, s:s, s:b, s:s}",
                                                        "rows", (int) rows, "cols", (int) columns,
                                                        "offset", (json_int_t) spool_total(c->outputs[0].spool),
                                                        "status", command_is_live(c) ? "running" : "exited",
                                                        "attached", (int) terminal_is_attached(c),
                                                        "holder", terminal_get_holder(c)));
        return object;
}

static void on_opened(Command *c, const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, error);

        if (request)
                (void) request_reply_json(request, 200, terminal_to_json(c));
}

static int read_open(Request *request, const Sandbox *s, ExecInput *ret, sd_bus_error *error) {
        SizeInput size = { .columns = 80, .rows = 24 };
        json_t *input = request_input(request);
        int r;

        r = json_table_read(input, &terminal_open_table, &size, error);
        if (r < 0)
                return r;
        if (json_is_null(json_object_get(input, "command")))
                (void) json_object_del(input, "command");
        if (!json_object_get(input, "command"))
                (void) json_object_set_new(input, "command", json_pack("[s]", SHELL));
        r = exec_input_read(request, s, EXEC_INPUT_NO_TIMEOUT, ret, error);
        if (r < 0)
                return r;
        ret->spec.terminal_rows = (uint32_t) size.rows;
        ret->spec.terminal_columns = (uint32_t) size.columns;
        return 0;
}

int api_terminal_start(Request *request, Sandbox *s, ExecInput *input, TerminalCallback callback,
                       sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Manager *m = request_userdata(request);
        Command *c;
        int r;

        if (terminals_live(m, s) >= m->settings.terminals_max)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum terminal limit reached: %u",
                                     m->settings.terminals_max);
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        r = terminal_open(m, s, &input->spec, input->text, callback, call, &c);
        if (r >= 0)
                (void) idempotency_note_object(call->use, c->id);
        return api_call_sent(&call, r, error);
}

int api_terminal_open(Request *request, sd_bus_error *error) {
        _cleanup_(exec_input_done) ExecInput input = { .spec = COMMAND_SPEC_DEFAULT };
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = read_open(request, s, &input, error);
        return r < 0 ? r : api_terminal_start(request, s, &input, on_opened, error);
}

int api_terminal_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *terminals;
        Sandbox *s;
        Command *c;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        terminals = json_array();
        HASHMAP_FOREACH(c, m->commands)
                if (c->sandbox == s && c->kind == COMMAND_TERMINAL && !c->forgotten)
                        (void) json_array_append_new(terminals, terminal_to_json(c));
        return request_reply_json(request, 200, json_pack("{s:o}", "terminals", terminals));
}

int api_terminal_get(Request *request, sd_bus_error *error) {
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        return r < 0 ? r : request_reply_json(request, 200, terminal_to_json(c));
}

int api_terminal_resize_by(Command *c, json_t *object, sd_bus_error *error) {
        SizeInput size = {};
        int r;

        r = json_table_read(object, &terminal_resize_table, &size, error);
        if (r >= 0)
                r = terminal_resize(c, (uint32_t) size.rows, (uint32_t) size.columns);
        if (r == -ENOTCONN)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Terminal is not running: %s", c->id);
        return r;
}

int api_terminal_resize(Request *request, sd_bus_error *error) {
        uint32_t rows, columns;
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        if (r >= 0)
                r = api_terminal_resize_by(c, request_input(request), error);
        if (r < 0)
                return r;
        terminal_get_size(c, &rows, &columns);
        return request_reply_json(request, 200, json_pack("{s:I, s:I}", "cols", (json_int_t) columns, "rows",
                                                          (json_int_t) rows));
}

static void on_closed(Command *c, const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, NULL);

        (void) error;
        if (request)
                (void) request_reply_json(request, 200, json_pack("{s:s}", "closed", c->id));
}

int api_terminal_close(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        if (r < 0)
                return r;
        call = api_call_new(request, c->sandbox);
        if (!call)
                return -ENOMEM;
        r = terminal_close(c, on_closed, call);
        if (r < 0)
                return api_unavailable(r, error);
        TAKE_PTR(call);
        return 1;
}
