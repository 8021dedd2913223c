/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/json-body.h"

/* A client that waits for the end of its command. When it goes away the command is ended: nobody could ever see what
 * it did. When we go away the command lives on. */
typedef struct ExecWait {
        Request *request;
        Command *command;
} ExecWait;

static void exec_wait_free(ExecWait *w) {
        command_unref(w->command);
        free(w);
}

static int add_output(JsonBody *b, const Command *c, size_t i, const char *name) {
        Spool *spool = c->outputs[i].spool;
        int r;

        r = json_body_add(b, ",\"%s\":", name);
        return r < 0 ? r : json_body_add_spool(b, spool, 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
}

/* The output window of this dialect is the first 10 MiB of each stream. */
int api_reply_result(Request *request, const Command *c) {
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        bool truncated = spool_total(c->outputs[0].spool) > SPOOL_HEAD_MAX ||
                         spool_total(c->outputs[1].spool) > SPOOL_HEAD_MAX;
        int r;

        r = json_body_new(&b);
        if (r < 0)
                return r;
        r = json_body_add(b, "{\"exitCode\":%d", command_exit_code(c));
        if (r >= 0 && c->oom)
                r = json_body_add(b, ",\"oom\":true");
        if (r >= 0 && c->oom && !c->timed_out)
                r = json_body_add(b, ",\"error\":\"" COMMAND_OOM_TEXT "\"");
        if (r >= 0 && c->timed_out)
                r = json_body_add(b, ",\"error\":\"Command timed out after %llums\",\"timedOut\":true",
                                  (unsigned long long) (c->timeout_usec / USEC_PER_MSEC));
        if (r >= 0)
                r = add_output(b, c, 0, "stdout");
        if (r >= 0)
                r = add_output(b, c, 1, "stderr");
        if (r >= 0)
                r = json_body_add(b, ",\"duration\":%llu%s}", (unsigned long long) command_duration_msec(c),
                                  truncated ? ",\"truncated\":true" : "");
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), request, c->timed_out ? 504 : 200);
}

static void on_exec_finished(Command *c, void *userdata) {
        ExecWait *w = userdata;
        Request *request = w->request;
        int r;

        request_on_gone(request, NULL, NULL);
        if (c->state == COMMAND_EXITED)
                r = api_reply_result(request, c);
        else
                r = request_reply_error(request, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_INTERRUPTED,
                                        "The sandbox ended while the command ran"));
        if (r < 0)
                log_sandbox_errno(LOG_WARNING, r, c->sandbox->id, "Failed to reply the result of %s: %m", c->id);
        exec_wait_free(w);
}

static void on_exec_failed(Command *c, const sd_bus_error *error, void *userdata) {
        ExecWait *w = userdata;

        (void) c;
        request_on_gone(w->request, NULL, NULL);
        (void) request_reply_error(w->request, error);
        exec_wait_free(w);
}

static void on_exec_client_gone(Request *request, void *userdata) {
        ExecWait *w = userdata;

        (void) request;
        command_set_handlers(w->command, NULL, NULL);
        command_kill(w->command);
        exec_wait_free(w);
}

static const CommandHandlers exec_handlers = {
        .on_failed = on_exec_failed,
        .on_finished = on_exec_finished,
};

int api_exec(Request *request, sd_bus_error *error) {
        _cleanup_(exec_input_done) ExecInput input = { .spec = COMMAND_SPEC_DEFAULT };
        _cleanup_free_ ExecWait *w = NULL;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = exec_input_read(request, s, 0, &input, error);
        if (r < 0)
                return r;
        w = new0(ExecWait, 1);
        if (!w)
                return -ENOMEM;
        w->request = request;

        r = command_new(request_userdata(request), s, COMMAND_EXEC, input.text, &w->command);
        if (r < 0)
                return r;
        r = command_start(w->command, &input.spec, &input.input, &exec_handlers, w);
        if (r < 0) {
                command_unref(w->command);
                return api_unavailable(r, error);
        }
        request_on_gone(request, on_exec_client_gone, w);
        TAKE_PTR(w);
        return 1;
}

typedef struct InterruptInput {
        int64_t pid;
} InterruptInput;

static const JsonField interrupt_fields[] = {
        { "pid", JSON_FIELD_INT, offsetof(InterruptInput, pid), 0, 1, 4194304, "inside; default: all commands" },
};
const JsonTable exec_interrupt_table = JSON_TABLE(interrupt_fields);

static int interrupt_all(Request *request, const Sandbox *s) {
        Manager *m = request_userdata(request);
        Command *c;

        HASHMAP_FOREACH(c, m->commands)
                if (c->sandbox == s && command_is_live(c))
                        (void) execd_signal(m->execd, s->id, c->id, SIGINT, /* all= */ false, peer_ignore, NULL);
        return api_reply_success(request);
}

int api_exec_interrupt(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        InterruptInput input = {};
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = json_fields_read(request_input(request), interrupt_fields, ELEMENTSOF(interrupt_fields), &input,
                                     error);
        if (r < 0)
                return r;
        if (input.pid == 0)
                return interrupt_all(request, s);

        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->answer = api_answer_success;
        r = execd_kill_process(call->manager->execd, s->id, (uint32_t) input.pid, SIGINT, api_process_told, call);
        return api_call_sent(&call, r, error);
}

static json_t *command_to_json(const Command *c) {
        static const char *const kinds[_COMMAND_KIND_MAX] = {
                [COMMAND_EXEC] = "exec",
                [COMMAND_STREAM] = "stream",
                [COMMAND_BACKGROUND] = "background",
                [COMMAND_JOB] = "job",
                [COMMAND_STRANGER] = "unattended",
                [COMMAND_TERMINAL] = "terminal",
                [COMMAND_KERNEL] = "context",
        };
        json_t *object = background_to_json(c);

        (void) json_object_set_new(object, "kind", json_string(kinds[c->kind]));
        return object;
}

int api_exec_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *commands;
        Sandbox *s;
        Command *c;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        commands = json_array();
        HASHMAP_FOREACH(c, m->commands)
                if (c->sandbox == s)
                        (void) json_array_append_new(commands, command_to_json(c));
        return request_reply_json(request, 200, json_pack("{s:o}", "commands", commands));
}

typedef struct SignalInput {
        char *signal;
        bool all;
} SignalInput;

static const JsonField signal_fields[] = {
        { "all",    JSON_FIELD_BOOL,   offsetof(SignalInput, all),    JSON_FIELD_LENIENT, 0, 0,
          "everything it started, not its process group only" },
        { "signal", JSON_FIELD_STRING, offsetof(SignalInput, signal), 0, 0, 16, "default: TERM" },
};
const JsonTable exec_signal_table = JSON_TABLE(signal_fields);

static int send_signal(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const SignalInput *input = userdata;
        int signo, r;
        Sandbox *s;
        Command *c;

        r = api_get_command(request, &s, &c, error);
        if (r >= 0)
                r = api_parse_signal(input->signal ?: "TERM", &signo, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->answer = api_answer_success;
        r = execd_signal(call->manager->execd, s->id, c->id, signo, input->all, api_call_done, call);
        return api_call_sent(&call, r, error);
}

int api_exec_signal(Request *request, sd_bus_error *error) {
        static const ApiInput route = { signal_fields, ELEMENTSOF(signal_fields), send_signal };

        return api_with_input(request, &route, &(SignalInput) {}, error);
}
