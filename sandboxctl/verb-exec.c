/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/exec-stream.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/terminal.h"
#include "sandboxctl/verbs-table.h"

/* A command's status is ours: what the command did and what we failed at must not look the same, hence 125 for all of
 * the latter. */

/* A sandbox made for one command shall not end before it. */
#define RUN_MARGIN_SEC 60U

static const char *arg_cwd, *arg_user;
static char **arg_env;
static uint64_t arg_timeout = UINT64_MAX;
static bool arg_interactive, arg_no_input, arg_detach, arg_keep;
static SandboxArguments arg_sandbox = SANDBOX_ARGUMENTS_DEFAULT;

const Option exec_options[] = {
        { 'w', "cwd", "PATH", OPTION_STRING, &arg_cwd, "Directory that the command starts in" },
        { 'e', "env", "KEY=VALUE", OPTION_STRV, &arg_env,
          "Environment variable; KEY alone takes the caller's value. May be repeated" },
        { 't', "timeout", "SECONDS", OPTION_SECONDS, &arg_timeout, "Kill the command after this time" },
        { 'u', "user", "USER", OPTION_STRING, &arg_user, "UID or UID:GID in the sandbox to run it as" },
        { 'i', "interactive", NULL, OPTION_FLAG, &arg_interactive, "Pass input on, even from a terminal" },
        { 'n', "no-input", NULL, OPTION_FLAG, &arg_no_input, "Pass no input on" },
        { 'd', "detach", NULL, OPTION_FLAG, &arg_detach, "Start it in the background and print its id" },
        {},
};

const Option run_options[] = {
        SANDBOX_OPTIONS(arg_sandbox),
        { 't', "timeout", "SECONDS", OPTION_SECONDS, &arg_timeout, "Kill the command after this time" },
        { 'u', "user", "USER", OPTION_STRING, &arg_user, "UID or UID:GID in the sandbox to run it as" },
        { 'i', "interactive", NULL, OPTION_FLAG, &arg_interactive, "Pass input on, even from a terminal" },
        { 0, "no-input", NULL, OPTION_FLAG, &arg_no_input, "Pass no input on" },
        { 'k', "keep", NULL, OPTION_FLAG, &arg_keep, "Keep the sandbox, and print its id on stderr" },
        {},
};

/* Input of a terminal is for the shell that started us, unless it is asked for. */
static bool wants_input(void) {
        return !arg_no_input && (arg_interactive || stdin_is_input());
}

static int exec_background(Ctl *c, const ExecRequest *request) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/exec/background", request->sandbox);
        json_t *body = exec_request_to_json(c, request);

        return body ? ctl_create(c, request->sandbox, path, body) : EXIT_STATUS_OWN;
}

int verb_exec(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL;
        ExecRequest request;
        int r;

        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        request = (ExecRequest) {
                .sandbox = id,
                .argv = words + 1,
                .cwd = arg_cwd,
                .user = arg_user,
                .env = arg_env,
                .timeout_sec = arg_timeout,
                .stdin = !arg_detach && wants_input(),
                .lossless = !arg_detach,
        };
        return arg_detach ? exec_background(c, &request) : exec_stream(c, &request);
}

/* The command's status stands whatever happens to the sandbox after it. */
static void run_cleanup(Ctl *c, const char *id) {
        if (arg_keep)
                (void) fprintf(stderr, "%s\n", id);
        else
                (void) sandbox_delete(c, id, NULL);
}

/* Signals are blocked before there is a sandbox: an interrupt must not leave one behind that nobody knows of. A shell for
 * somebody at a terminal has one, that of a script reads it. */
int verb_run(Ctl *c, char **words) {
        static char *const shell[] = { (char *) "/bin/sh", NULL };
        bool interactive = !words[1] && !arg_interactive && !arg_no_input && terminal_is_ours();
        _cleanup_json_ json_t *sandbox = NULL;
        ExecRequest request;
        int r;

        if (arg_timeout != UINT64_MAX)
                arg_sandbox.timeout_sec = arg_timeout + RUN_MARGIN_SEC;
        if (interactive)
                terminal_block_signals();
        else
                exec_block_signals();
        r = sandbox_create(c, words[0], &arg_sandbox, &sandbox);
        if (r != EXIT_STATUS_OK)
                return r;

        request = (ExecRequest) {
                .sandbox = json_text(sandbox, "id"),
                .argv = words[1] || interactive ? words + 1 : shell,
                .user = arg_user,
                .timeout_sec = arg_timeout,
                .stdin = !interactive && (wants_input() || (!words[1] && !arg_no_input)),
                .lossless = !interactive,
        };
        r = interactive ? terminal_run(c, &request, /* last= */ !arg_keep) : exec_stream(c, &request);
        run_cleanup(c, request.sandbox);
        return r;
}
