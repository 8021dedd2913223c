/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxd/command.h"
#include "sandboxd/manager.h"
#include "sandboxd/terminal-session.h"

/* What is remembered of a background command or a terminal: enough to answer for it when the sandbox's init has forgotten it. Its
 * output is not here but in the spool of the same name. */

int command_save(const Command *c) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        _cleanup_free_ char *text = NULL;

        record = json_pack("{s:i, s:s, s:i, s:I, s:i, s:i, s:b, s:b, s:I, s:I, s:I}",
                           "version", 1, "text", c->text, "state", (int) c->state, "pid", (json_int_t) c->pid,
                           "code", c->code, "status", c->status, "timedOut", (int) c->timed_out, "oom", (int) c->oom,
                           "finished", (json_int_t) c->finished_msec, "startedUSec", (json_int_t) c->started_usec,
                           "endedUSec", (json_int_t) c->ended_usec);
        if (record && c->terminal && terminal_get_session(c))
                (void) json_object_set_new(record, "session", terminal_session_to_json(terminal_get_session(c)));
        if (record)
                text = json_dumps(record, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        return store_put_command(c->manager->store, &(StoredCommand) { .id = c->id, .sandbox = c->sandbox->id,
                                                                       .started_msec = c->started_msec,
                                                                       .record = text });
}

static int read_fields(Command *c, json_t *record) {
        json_int_t pid, finished, started_usec, ended_usec;
        int version, state, timed_out, oom;

        if (json_unpack(record, "{s:i, s:i, s:I, s:i, s:i, s:b, s:b, s:I, s:I, s:I}", "version", &version,
                        "state", &state, "pid", &pid, "code", &c->code, "status", &c->status, "timedOut", &timed_out,
                        "oom", &oom, "finished", &finished, "startedUSec", &started_usec, "endedUSec",
                        &ended_usec) < 0 ||
            version != 1 || state < COMMAND_STARTING || state > COMMAND_LOST || pid < 0)
                return -EBADMSG;
        c->state = (CommandState) state;
        c->pid = (uint32_t) pid;
        c->timed_out = timed_out;
        c->oom = oom;
        c->finished_msec = (uint64_t) finished;
        c->started_usec = (uint64_t) started_usec;
        c->ended_usec = (uint64_t) ended_usec;
        return 0;
}

int command_find_output(Command *c) {
        int r;

        if (c->kind == COMMAND_KERNEL)
                return 0;
        r = spool_new_live(c->manager->spool_fd, c->id, &c->outputs[0].spool);
        return r < 0 || c->kind != COMMAND_TERMINAL ? r : terminal_new(c, &c->terminal);
}

static int read_session(Command *c, json_t *record) {
        json_t *session = json_object_get(record, "session");
        TerminalSession *s;
        int r;

        if (!c->terminal || !session)
                return 0;
        r = terminal_session_from_json(session, &s);
        if (r >= 0)
                terminal_set_session(c, s);
        return r;
}

int command_from_record(Manager *m, const StoredCommand *row, Command **ret) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        _cleanup_(command_unrefp) Command *c = NULL;
        Sandbox *sandbox = manager_get_sandbox(m, row->sandbox);
        CommandKind kind = object_id_is_valid(row->id, "term")   ? COMMAND_TERMINAL
                           : object_id_is_valid(row->id, "kern") ? COMMAND_KERNEL
                                                                 : COMMAND_BACKGROUND;
        const char *text;
        int r;

        record = json_loads(row->record, JSON_REJECT_DUPLICATES, NULL);
        text = json_string_value(json_object_get(record, "text"));
        if (!sandbox || !text || (kind == COMMAND_BACKGROUND && !object_id_is_valid(row->id, "bg")))
                return -EBADMSG;

        r = command_new(m, sandbox, kind, text, &c);
        if (r < 0)
                return r;
        memcpy(c->id, row->id, strlen(row->id) + 1);
        c->started_msec = row->started_msec;
        r = read_fields(c, record);
        if (r >= 0)
                r = command_find_output(c);
        if (r >= 0)
                r = read_session(c, record);
        if (r < 0)
                return r;
        if (!command_is_live(c))
                spool_rest(c->outputs[0].spool);
        *ret = TAKE_PTR(c);
        return 0;
}
