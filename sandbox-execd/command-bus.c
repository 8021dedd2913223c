/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/command-bus.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/manager-bus.h"

#define ARGUMENT_ID_MAX 65535U

/* Exec(), Signal() and Attach() are questions to init: the message waits in the request's userdata. */

void command_reply_started(Command *c) {
        if (c->call)
                (void) sd_bus_reply_method_return(c->call, "u", (uint32_t) c->pid);
        c->call = sd_bus_message_unref(c->call);
}

/* The step in which a start failed tells whose fault it was: directory and program are the caller's words, anything
 * else is between us and the kernel. Without a reply init is gone, and whether the command ran is not known. */
void command_reply_failed(Command *c, int error, const InitReply *reply) {
        static const struct {
                int step;
                const char *name, *text;
        } rows[] = {
                { INIT_STEP_CWD,     BUS_ERROR_INVALID,           "The working directory cannot be entered" },
                { INIT_STEP_COMMAND, BUS_ERROR_COMMAND_NOT_FOUND, "The command cannot be run"               },
        };
        const char *name = BUS_ERROR_UNAVAILABLE, *text = "The sandbox could not start the command";

        for (size_t i = 0; reply && i < ELEMENTSOF(rows); i++)
                if (reply->step == rows[i].step) {
                        name = rows[i].name;
                        text = rows[i].text;
                }
        if (!reply)
                name = BUS_ERROR_INTERRUPTED;
        else if (error == -EAGAIN && streq(name, BUS_ERROR_UNAVAILABLE))
                name = BUS_ERROR_LIMIT_REACHED; /* pids.max, or init's table is full */
        if (c->call)
                (void) sd_bus_reply_method_errorf(c->call, name, "%s: %s.", text, strerror(-error));
        c->call = sd_bus_message_unref(c->call);
}

static int append_exited(sd_bus_message *m, void *userdata) {
        const Command *c = userdata;

        return sd_bus_message_append(m, "ssiibbt", c->sandbox->record.id.digits, c->id, c->code, c->status,
                                     (int) c->timed_out, (int) c->oom, c->ended_usec);
}

void command_emit_exited(Command *c) {
        if (c->sandbox->manager->server)
                (void) bus_server_emit(c->sandbox->manager->server, EXEC_OBJECT, EXEC_INTERFACE, "CommandExited",
                                       append_exited, c);
}

/* The kernel's window size has 16 bits a side. A terminal without rows or columns is what programs take for "unknown"
 * and guess, each in its own way. */
static int check_terminal(const CommandSpec *spec, size_t n_keep, sd_bus_error *error) {
        if (spec->terminal_rows == 0 && spec->terminal_columns == 0)
                return 0;
        if (spec->terminal_rows == 0 || spec->terminal_rows > UINT16_MAX || spec->terminal_columns == 0 ||
            spec->terminal_columns > UINT16_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "A terminal has 1 to %u rows and columns.", UINT16_MAX);
        if (n_keep > 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "Of a terminal only its own descriptor is kept.");
        return 0;
}

static int check_spec(const CommandSpec *spec, sd_bus_error *error) {
        if (strv_length(spec->argv) == 0 || isempty(spec->argv[0]))
                return bus_error_set(error, BUS_ERROR_INVALID, "There is no command to run.");
        if (spec->uid > ARGUMENT_ID_MAX || spec->gid > ARGUMENT_ID_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "Ids of a sandbox are 0 to %u.", ARGUMENT_ID_MAX);
        if (!isempty(spec->cwd) && spec->cwd[0] != '/')
                return bus_error_set(error, BUS_ERROR_INVALID, "The working directory must be absolute.");
        STRV_FOREACH(e, spec->env) {
                const char *value = strchr(*e, '=');
                _cleanup_free_ char *name = value ? strndup(*e, (size_t) (value - *e)) : NULL;

                if (!name || !env_name_is_valid(name))
                        return bus_error_set(error, BUS_ERROR_INVALID, "'%.64s' is no variable.", *e);
        }
        return 0;
}

/* Borrowed from the message: whoever sends them on in time needs no duplicates. */
static int read_fds(sd_bus_message *message, int *fds, size_t room, size_t *n_fds) {
        int r;

        r = sd_bus_message_enter_container(message, 'a', "h");
        if (r < 0)
                return r;
        while (*n_fds < room && (r = sd_bus_message_read_basic(message, 'h', &fds[*n_fds])) > 0)
                (*n_fds)++;
        if (r < 0)
                return r;
        if (sd_bus_message_at_end(message, false) == 0)
                return -E2BIG;
        return sd_bus_message_exit_container(message);
}

static int read_exec(sd_bus_message *message, const char **ret_id, CommandSpec *spec, int *fds, size_t *n_fds,
                     sd_bus_error *error) {
        size_t n = 0;
        int r;

        r = sd_bus_message_read_basic(message, 's', ret_id);
        if (r < 0)
                return r;
        if (!command_id_is_valid(*ret_id))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a command's name: '%s'.", *ret_id);
        r = bus_fields_read(message, command_spec_fields, n_command_spec_fields, spec, error);
        if (r < 0)
                return r;
        r = read_fds(message, fds, 3, &n);
        if (r == -E2BIG || (r >= 0 && n != 3))
                return bus_error_set(error, BUS_ERROR_INVALID, "There must be three descriptors for input and output.");
        if (r >= 0)
                r = read_fds(message, fds, 3 + INIT_KEEP_MAX, &n);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_INVALID, "At most %u descriptors are kept.", INIT_KEEP_MAX);
        if (r < 0)
                return r;
        *n_fds = n;
        r = check_terminal(spec, n - 3, error);
        return r < 0 ? r : check_spec(spec, error);
}

/* The reply comes when the command has begun, not when it ends: that is told by a signal, since a connection need not
 * last as long. */
int method_exec(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(command_spec_done) CommandSpec spec = COMMAND_SPEC_DEFAULT;
        int fds[3 + INIT_KEEP_MAX], r;
        Manager *m = userdata;
        size_t n_fds = 0;
        const char *id;
        Sandbox *s;

        r = method_sandbox(message, m, NEEDS_RUNNING, &s, error);
        if (r < 0)
                return r;
        r = read_exec(message, &id, &spec, fds, &n_fds, error);
        if (r < 0)
                return r;
        if (commands_running(s) >= MIN(m->settings.commands_max, INIT_COMMANDS_MAX))
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "%u commands run already.",
                                     m->settings.commands_max);

        blanks_note_busy(m);
        r = command_start(s, id, &spec, fds, n_fds, message, error);
        return r < 0 && !sd_bus_error_is_set(error) ? method_error(error, r, "start the command") : r;
}

static void on_done(int error, const InitReply *reply, int *fds, size_t n_fds, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) reply;
        (void) fds;
        (void) n_fds;
        if (error >= 0)
                (void) sd_bus_reply_method_return(call, NULL);
        else if (error == -ESRCH)
                (void) sd_bus_reply_method_errorf(call, BUS_ERROR_NO_SUCH_PROCESS, "It has ended already.");
        else {
                method_error(&e, error, "signal");
                (void) sd_bus_reply_method_error(call, &e);
        }
}

static int find_command(Sandbox *s, const char *id, Command **ret, sd_bus_error *error) {
        *ret = command_get(s, id);
        return *ret ? 0 : bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "There is no command '%s'.", id);
}

/* The command that the first two arguments name: its sandbox and itself. */
static int method_command(sd_bus_message *message, Manager *m, Sandbox **ret_sandbox, Command **ret,
                          sd_bus_error *error) {
        const char *id;
        int r;

        r = method_sandbox(message, m, NEEDS_LIVE, ret_sandbox, error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(message, "s", &id);
        if (r < 0)
                return r;
        return find_command(*ret_sandbox, id, ret, error);
}

static int send_signal(Sandbox *s, InitSignal *signal, sd_bus_message *message, sd_bus_error *error) {
        int r;

        signal->header.operation = INIT_SIGNAL;
        r = init_client_call(s->init, signal, sizeof *signal, NULL, 0, on_done, message);
        if (r < 0)
                return method_error(error, r, "signal");
        sd_bus_message_ref(message);
        return 1;
}

static int check_signal(int32_t signal, sd_bus_error *error) {
        return signal > 0 && signal <= SIGRTMAX
                       ? 0
                       : bus_error_set(error, BUS_ERROR_INVALID, "There is no signal %i.", signal);
}

int method_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        InitSignal request = { .target = INIT_SIGNAL_GROUP };
        const char *id;
        Sandbox *s;
        Command *c;
        int r, all;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(message, "sib", &id, &request.signal, &all);
        if (r < 0)
                return r;
        r = check_signal(request.signal, error);
        if (r >= 0)
                r = find_command(s, id, &c, error);
        if (r < 0)
                return r;

        if (!all) {
                snprintf(request.command, sizeof request.command, "%s", c->id);
                return send_signal(s, &request, message, error);
        }
        r = command_signal_all(c, request.signal);
        if (r == -ESRCH)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_PROCESS, "Nothing of command '%s' is left.", c->id);
        return r < 0 ? method_error(error, r, "signal the command") : sd_bus_reply_method_return(message, NULL);
}

/* By init, who sees the same numbers as whoever asks, and has the rights of the sandbox and no more. Its own end is
 * Kill's affair: 1 is not to be signalled, and 0 or less would be groups. */
int method_kill_process(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        InitSignal request = { .target = INIT_SIGNAL_PROCESS };
        uint32_t pid;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(message, "ui", &pid, &request.signal);
        if (r < 0)
                return r;
        r = check_signal(request.signal, error);
        if (r < 0)
                return r;
        if (pid <= 1 || pid > INT32_MAX)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_PROCESS, "There is no process %u to signal.", pid);
        request.pid = (int32_t) pid;
        return send_signal(s, &request, message, error);
}

int method_acknowledge(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Sandbox *s;
        Command *c;
        int r;

        r = method_command(message, userdata, &s, &c, error);
        if (r < 0)
                return r;
        r = command_acknowledge(c);
        if (r == -EBUSY)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Command '%s' runs.", c->id);
        return r < 0 ? method_error(error, r, "acknowledge") : sd_bus_reply_method_return(message, NULL);
}

/* One whose Exec is not answered yet is left out: the caller will hear of it by that answer. */
static int append_commands(sd_bus_message *reply, Sandbox *s) {
        Command *c;
        int r;

        HASHMAP_FOREACH(c, s->commands) {
                if (c->acknowledged || c->call)
                        continue;
                r = sd_bus_message_append(reply, "(ssubiibtt)", s->record.id.digits, c->id, (uint32_t) c->pid,
                                          (int) c->running, c->code, c->status, (int) c->timed_out, c->started_usec,
                                          c->ended_usec);
                if (r < 0)
                        return r;
        }
        return 0;
}

int method_commands(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Sandbox *s = NULL, *other;
        Manager *m = userdata;
        const char *id;
        int r;

        r = method_check_peer(message, m, false, error);
        if (r >= 0)
                r = sd_bus_message_read(message, "s", &id);
        if (r < 0)
                return r;
        if (*id) {
                s = manager_get(m, id);
                if (!s || !s->created)
                        return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox '%s'.", id);
        }

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssubiibtt)");
        HASHMAP_FOREACH(other, m->sandboxes)
                if (r >= 0 && (!s || s == other))
                        r = append_commands(reply, other);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* Descriptors go through us without being looked at; sd-bus duplicates them into the message, ours are closed by the
 * caller of this function. */
static void on_taken(int error, const InitReply *reply, int *fds, size_t n_fds, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = userdata, *answer = NULL;
        int r = error;

        (void) reply;
        if (r == -ESRCH || r == -ENOENT) {
                (void) sd_bus_reply_method_errorf(call, BUS_ERROR_NO_SUCH_COMMAND, "Init does not know this command.");
                return;
        }
        if (r >= 0)
                r = sd_bus_message_new_method_return(call, &answer);
        if (r >= 0)
                r = sd_bus_message_open_container(answer, 'a', "h");
        for (size_t i = 0; r >= 0 && i < n_fds; i++)
                r = sd_bus_message_append_basic(answer, 'h', &fds[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(answer);
        if (r >= 0)
                r = sd_bus_send(NULL, answer, NULL);
        if (r < 0)
                (void) sd_bus_reply_method_errorf(call, BUS_ERROR_INTERRUPTED, "Failed to attach: %s.", strerror(-r));
}

int method_attach(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        InitCommandName request = { .header.operation = INIT_TAKE };
        Sandbox *s;
        Command *c;
        int r;

        r = method_command(message, userdata, &s, &c, error);
        if (r < 0)
                return r;
        snprintf(request.command, sizeof request.command, "%s", c->id);
        r = init_client_call(s->init, &request, sizeof request, NULL, 0, on_taken, message);
        if (r < 0)
                return method_error(error, r, "attach");
        sd_bus_message_ref(message);
        return 1;
}
