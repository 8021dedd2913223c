/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api-terminal.h"
#include "sandboxd/api.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/terminal-session.h"

/* The contract's terminals: a shell, and two references to its bytes. They are terminals as all others and are found
 * below /terminals, too; resizing and closing is the same code there and here.
 *
 * A reply that is remembered for a repetition would have to be kept together with its keys. So it is not (ROUTE_ANEW): who
 * repeats his request, because he never saw the reply, gets new keys for what nobody has taken, and the old ones, which
 * somebody else may have seen, are void. */

static const char *const shells[] = { "/bin/sh", "/bin/bash", "/bin/zsh", "/bin/ash" };

typedef struct SessionInput {
        int64_t columns, rows;
        char *shell;
} SessionInput;

static const JsonField session_fields[] = {
        { "cols",  JSON_FIELD_INT,    offsetof(SessionInput, columns), 0, 1, TERMINAL_SIZE_MAX, "characters a line" },
        { "rows",  JSON_FIELD_INT,    offsetof(SessionInput, rows),    0, 1, TERMINAL_SIZE_MAX, "lines" },
        { "shell", JSON_FIELD_STRING, offsetof(SessionInput, shell),   0, 0, 0,
          "/bin/sh, /bin/bash, /bin/zsh or /bin/ash" },
};
const JsonTable session_open_table = JSON_TABLE(session_fields);

static void session_input_done(SessionInput *in) {
        json_fields_done(session_fields, ELEMENTSOF(session_fields), in);
}

static int check_shell(const char *shell, sd_bus_error *error) {
        for (size_t i = 0; i < ELEMENTSOF(shells); i++)
                if (streq(shell, shells[i]))
                        return 0;
        return bus_error_set(error, BUS_ERROR_DENIED, "shell '%s' not allowed, use one of: %s, %s, %s, %s", shell,
                             shells[0], shells[1], shells[2], shells[3]);
}

static json_t *channel_to_json(const TerminalSession *s, TerminalDirection d, const char *key) {
        return json_pack("{s:s, s:s, s:s}", "channel_id", s->channels[d].id, "access_key", key, "direction",
                         terminal_direction_to_string(d));
}

/* "docker" is the contract's word for a process with a terminal of its own. */
static json_t *session_to_json(const Command *c, char (*keys)[TERMINAL_CHANNEL_MAX]) {
        const TerminalSession *s = terminal_get_session(c);
        uint32_t rows, columns;

        terminal_get_size(c, &rows, &columns);
        return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:{s:o, s:o}}", "sessionId", c->id,
                         "sandboxId", c->sandbox->public_id, "execId", c->id, "cols", (json_int_t) columns, "rows",
                         (json_int_t) rows, "shell", s->shell, "status",
                         command_is_live(c) ? "running" : "exited", "backend", "docker", "createdAt",
                         (json_int_t) c->started_msec, "channel",
                         "writer", channel_to_json(s, TERMINAL_WRITE, keys[TERMINAL_WRITE]),
                         "reader", channel_to_json(s, TERMINAL_READ, keys[TERMINAL_READ]));
}

static void ignore_close(Command *c, const sd_bus_error *error, void *userdata) {
        (void) c;
        (void) error;
        (void) userdata;
}

/* It runs already. The references are on disk before anybody has them. */
static int add_session(Command *c, char (*keys)[TERMINAL_CHANNEL_MAX]) {
        TerminalSession *session;
        int r;

        r = terminal_session_new(c->text, keys, &session);
        if (r < 0)
                return r;
        terminal_set_session(c, session);
        return command_save(c);
}

json_t *session_renew(Command *c) {
        char keys[_TERMINAL_DIRECTION_MAX][TERMINAL_CHANNEL_MAX] = {};
        TerminalSession *session = terminal_get_session(c);
        json_t *object;
        int r;

        if (c->forgotten || (!session && !command_is_live(c)))
                return NULL;
        if (session) {
                r = terminal_session_renew(session, keys);
                if (r >= 0)
                        r = command_save(c);
        } else
                r = add_session(c, keys);
        object = r < 0 ? NULL : session_to_json(c, keys);
        explicit_bzero(keys, sizeof keys);
        return object;
}

static void on_opened(Command *c, const sd_bus_error *error, void *userdata) {
        char keys[_TERMINAL_DIRECTION_MAX][TERMINAL_CHANNEL_MAX];
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request;
        int r;

        if (error) {
                api_call_fail(TAKE_PTR(call), error);
                return;
        }
        r = add_session(c, keys);
        request = TAKE_PTR(call->request);
        if ((!request && !call->use) || r < 0) /* nobody will ever have the keys */
                (void) terminal_close(c, ignore_close, NULL);
        if (!request)
                return;
        request_on_gone(request, NULL, NULL);
        if (r < 0)
                (void) request_reply_errno(request, r);
        else
                (void) request_reply_json(request, 200, session_to_json(c, keys));
        explicit_bzero(keys, sizeof keys);
}

int api_session_open(Request *request, sd_bus_error *error) {
        _cleanup_(session_input_done) SessionInput in = { .columns = 80, .rows = 24 };
        _cleanup_(exec_input_done) ExecInput exec = { .spec = COMMAND_SPEC_DEFAULT };
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = json_table_read(request_input(request), &session_open_table, &in, error);
        if (r >= 0 && !in.shell)
                r = (in.shell = strdup(shells[0])) ? 0 : -ENOMEM;
        if (r >= 0)
                r = check_shell(in.shell, error);
        if (r < 0)
                return r;
        /* the rest of its spec is as of any command that says no more than its name */
        (void) json_object_clear(request_input(request));
        (void) json_object_set_new(request_input(request), "command", json_pack("[s]", in.shell));
        r = exec_input_read(request, s, EXEC_INPUT_NO_TIMEOUT, &exec, error);
        if (r < 0)
                return r;
        exec.spec.terminal_rows = (uint32_t) in.rows;
        exec.spec.terminal_columns = (uint32_t) in.columns;
        return api_terminal_start(request, s, &exec, on_opened, error);
}
