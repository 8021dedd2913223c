/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api-tool.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/files.h"
#include "sandboxd/interpreter.h"
#include "sandboxd/json-body.h"

/* Code without a state: a file of its own for each call, so that calls at once do not meet, run by the image's
 * interpreter and taken away again, whatever came of it. */

#define CODE_MAX (16 * MiB)
#define INSTALL_TIMEOUT_SEC 120

typedef struct ExecuteInput {
        char *code, *language, *cwd;
        int64_t timeout;
} ExecuteInput;

static const JsonField execute_fields[] = {
        { "code", JSON_FIELD_STRING, offsetof(ExecuteInput, code), JSON_FIELD_MANDATORY, 0, CODE_MAX, "the program" },
        { "cwd", JSON_FIELD_STRING, offsetof(ExecuteInput, cwd), JSON_FIELD_LENIENT, 0, 0, "where it starts" },
        { "language", JSON_FIELD_STRING, offsetof(ExecuteInput, language), JSON_FIELD_NONEMPTY, 0, 64,
          "python, javascript, typescript, go, bash" },
        TOOL_TIMEOUT_FIELD(ExecuteInput),
};
const JsonTable interpret_execute_table = JSON_TABLE(execute_fields);

/* The file that is written, then run, then removed. */
typedef struct Program {
        ApiTool *tool;
        const Language *language;
        char path[64];
} Program;

static void program_free(void *data) {
        Program *p = data;

        files_remove(p->tool->manager, p->tool->sandbox, p->path);
        free(p);
}

/* Clients ask error whether it went well, so it is never an empty text when it did not. */
static int add_error(JsonBody *b, const Command *c) {
        if (c->timed_out)
                return json_body_add(b, ",\"timedOut\":true,\"error\":\"Execution timed out after %llums\"",
                                     (unsigned long long) (c->timeout_usec / USEC_PER_MSEC));
        if (c->oom)
                return json_body_add(b, ",\"oom\":true,\"error\":\"" COMMAND_OOM_TEXT "\"");
        if (command_exit_code(c) == 0)
                return json_body_add(b, ",\"error\":null");
        if (spool_total(c->outputs[1].spool) == 0)
                return json_body_add(b, ",\"error\":\"Ended with status %d\"", command_exit_code(c));
        if (json_body_add(b, ",\"error\":") < 0)
                return -ENOMEM;
        return json_body_add_spool(b, c->outputs[1].spool, 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
}

static int answer_executed(ApiTool *t, const Command *c, sd_bus_error *error) {
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        int r;

        (void) error;
        r = json_body_new(&b);
        if (r >= 0)
                r = json_body_add(b, "{\"output\":");
        if (r >= 0)
                r = json_body_add_spool(b, c->outputs[0].spool, 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        if (r >= 0)
                r = add_error(b, c);
        if (r >= 0)
                r = json_body_add(b, ",\"stderr\":");
        if (r >= 0)
                r = json_body_add_spool(b, c->outputs[1].spool, 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        if (r >= 0)
                r = json_body_add(b, ",\"exitCode\":%d,\"executionTime\":%llu}", command_exit_code(c),
                                  (unsigned long long) command_duration_msec(c));
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), t->request, c->timed_out ? 504 : 200);
}

static int run_program(ApiTool *t, sd_bus_error *error) {
        const Program *p = t->data;
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(p->language->command) && p->language->command[i]; i++)
                r = strv_extend(&argv, p->language->command[i]);
        if (r >= 0)
                r = strv_extend(&argv, p->path);
        return r < 0 ? r : api_tool_start(t, TAKE_PTR(argv), answer_executed, error);
}

/* The call waits for the file; the tool takes its request over, if it is still there. */
static void on_written(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        _cleanup_(api_tool_freep) ApiTool *t = TAKE_PTR(call->data);
        Request *request = api_call_take_request(call, error);
        int r;

        (void) reply;
        if (!request)
                return;
        r = api_tool_sent(&t, run_program(t, &own));
        if (r < 0)
                api_reply_failure(request, &own, r);
}

static int new_program(Request *request, Sandbox *s, const Language *language, ApiTool **ret) {
        _cleanup_(api_tool_freep) ApiTool *t = api_tool_new(request, s);
        char name[40];
        Program *p;
        int r;

        r = object_id_random("code", name);
        if (r < 0)
                return r;
        p = t ? new0(Program, 1) : NULL;
        if (!p)
                return -ENOMEM;
        *p = (Program) { .tool = t, .language = language };
        snprintf(p->path, sizeof p->path, "/tmp/%s%s", name, language->extension);
        t->data = p;
        t->free_data = program_free;
        *ret = TAKE_PTR(t);
        return 0;
}

static int write_program(Request *request, ApiTool **t, const char *code, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = api_call_new(request, (*t)->sandbox);
        const Program *p = (*t)->data;
        int r;

        if (!call)
                return -ENOMEM;
        r = files_write(call->manager, call->sandbox, &(FileContent) { .path = p->path, .mode = 0600, .data = code,
                                                                       .n = strlen(code) }, on_written, call);
        if (r >= 0)
                call->data = TAKE_PTR(*t);
        return api_call_sent(&call, r, error);
}

static int do_execute(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_tool_freep) ApiTool *t = NULL;
        Manager *m = request_userdata(request);
        const ExecuteInput *in = userdata;
        const Language *language;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r < 0)
                return r;
        language = language_find(in->language ?: "python", error);
        if (!language)
                return -EINVAL;
        r = new_program(request, s, language, &t);
        if (r < 0)
                return r;
        t->spec.timeout_usec = api_tool_timeout(m, in->timeout);
        t->spec.defaults = language->env;
        if (!isempty(in->cwd))
                r = exec_make_cwd(s, &m->settings, in->cwd, (char **) &t->spec.cwd, error);
        return r < 0 ? r : write_program(request, &t, in->code, error);
}

int api_interpret_execute(Request *request, sd_bus_error *error) {
        static const ApiInput route = { execute_fields, ELEMENTSOF(execute_fields), do_execute };

        return api_with_input(request, &route, &(ExecuteInput) {}, error);
}

typedef struct InstallInput {
        char **packages, *manager;
} InstallInput;

static const JsonField install_fields[] = {
        { "manager", JSON_FIELD_STRING, offsetof(InstallInput, manager), JSON_FIELD_NONEMPTY, 0, 64,
          "pip, npm, go, apt, or a language" },
        { "packages", JSON_FIELD_STRV, offsetof(InstallInput, packages), JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0,
          0, "names, perhaps with versions" },
};
const JsonTable interpret_install_table = JSON_TABLE(install_fields);

static int answer_installed(ApiTool *t, const Command *c, sd_bus_error *error) {
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        _cleanup_free_ char *complaint = NULL;
        int r;

        if (c->timed_out)
                return bus_error_set(error, BUS_ERROR_TIMED_OUT, "Install timed out after %u s", INSTALL_TIMEOUT_SEC);
        if (command_exit_code(c) != 0) {
                complaint = tool_complaint(c);
                return bus_error_set(error, BUS_ERROR_INVALID, "Install failed: %s", complaint ?: "");
        }
        r = json_body_new(&b);
        if (r >= 0)
                r = json_body_add(b, "{\"output\":");
        if (r >= 0)
                r = json_body_add_spool(b, c->outputs[0].spool, 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        if (r >= 0)
                r = json_body_add(b, "}");
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), t->request, 200);
}

static int do_install(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_tool_freep) ApiTool *t = NULL;
        _cleanup_strv_free_ char **argv = NULL;
        const InstallInput *in = userdata;
        const PackageManager *p;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r < 0)
                return r;
        p = package_manager_find(in->manager ?: "pip", error);
        if (!p)
                return -EINVAL;
        r = package_manager_make_argv(p, in->packages, &argv, error);
        if (r < 0)
                return r;
        t = api_tool_new(request, s);
        if (!t)
                return -ENOMEM;
        t->spec.timeout_usec = INSTALL_TIMEOUT_SEC * USEC_PER_SEC;
        t->spec.defaults = p->env;
        return api_tool_sent(&t, api_tool_start(t, TAKE_PTR(argv), answer_installed, error));
}

int api_interpret_install(Request *request, sd_bus_error *error) {
        static const ApiInput route = { install_fields, ELEMENTSOF(install_fields), do_install };

        return api_with_input(request, &route, &(InstallInput) {}, error);
}

/* What the API can run; whether an image has it is seen when it runs. */
int api_interpret_kernels(Request *request, sd_bus_error *error) {
        static const char *const kernels[][3] = {
                { "python3", "python", "Python 3" }, { "node", "javascript", "Node.js" },
                { "bash", "bash", "Bash" },          { "go", "go", "Go" },
        };
        json_t *reply = json_array();

        (void) error;
        for (size_t i = 0; i < ELEMENTSOF(kernels); i++)
                (void) json_array_append_new(reply, json_pack("{s:s, s:s, s:s}", "name", kernels[i][0], "language",
                                                              kernels[i][1], "displayName", kernels[i][2]));
        return request_reply_json(request, 200, reply);
}
