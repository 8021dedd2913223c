/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/terminal.h"
#include "sandboxctl/tty.h"
#include "sandboxctl/verbs-table.h"

static const char *arg_cwd, *arg_user;
static char **arg_env;

const Option shell_options[] = {
        { 'w', "cwd", "PATH", OPTION_STRING, &arg_cwd, "Directory that it starts in" },
        { 'e', "env", "KEY=VALUE", OPTION_STRV, &arg_env,
          "Environment variable; KEY alone takes the caller's value. May be repeated" },
        { 'u', "user", "USER", OPTION_STRING, &arg_user, "UID or UID:GID in the sandbox to run it as" },
        {},
};

bool terminal_is_ours(void) {
        return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* What both verbs need: a terminal of the caller's, which costs nothing to look for, and then the sandbox. */
static int begin(Ctl *c, const char *word, char **ret_id) {
        if (terminal_is_ours())
                return ctl_resolve(c, word, ret_id);
        return ctl_fail(c, EXIT_STATUS_USAGE, "this needs a terminal, see 'exec' for scripts");
}

/* Images without bash are common, without sh they are rare. */
static int open_terminal(Ctl *c, const ExecRequest *wanted, json_t **ret) {
        static char *const shell[] = { (char *) "/bin/sh", (char *) "-c",
                                       (char *) "command -v bash >/dev/null && exec bash; exec sh", NULL };
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/terminals", wanted->sandbox);
        const char *term = getenv("TERM");
        ExecRequest request = *wanted;
        _cleanup_json_ json_t *body = NULL;
        TtySize size = tty_size();
        json_t *env;

        if (!request.argv[0])
                request.argv = shell;
        body = exec_request_to_json(c, &request);
        if (!body)
                return EXIT_STATUS_OWN;
        env = json_object_get(body, "env");
        if (!env && json_object_set_new(body, "env", env = json_object()) < 0)
                return ctl_oom(c);
        if (!isempty(term) && !json_object_get(env, "TERM"))
                (void) json_object_set_new(env, "TERM", json_string(term));
        if (json_object_set_new(body, "rows", json_integer(size.rows)) < 0 ||
            json_object_set_new(body, "cols", json_integer(size.columns)) < 0)
                return ctl_oom(c);
        return ctl_request(c, request.sandbox, "POST", path, TAKE_PTR(body), ret);
}

int terminal_run(Ctl *c, const ExecRequest *request, bool last) {
        _cleanup_json_ json_t *terminal = NULL;
        int r;

        r = open_terminal(c, request, &terminal);
        if (r != EXIT_STATUS_OK)
                return r;
        return terminal_attach(c, &(TerminalAttach) { .sandbox = request->sandbox, .fresh = true, .last = last,
                                                      .terminal = json_text(terminal, "id") });
}

int verb_shell(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL;
        int r;

        r = begin(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        terminal_block_signals();
        return terminal_run(c, &(ExecRequest) { .sandbox = id, .argv = words + 1, .cwd = arg_cwd, .env = arg_env,
                                                .user = arg_user, .timeout_sec = UINT64_MAX }, /* last= */ false);
}

/* The start of an id that only one live terminal has; "" is any. */
static int find_terminal(Ctl *c, const char *sandbox, const char *word, json_t **ret) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/terminals", sandbox);
        _cleanup_json_ json_t *reply = NULL;
        json_t *item, *found = NULL;
        unsigned n = 0;
        size_t i;
        int r;

        r = ctl_request(c, sandbox, "GET", path, NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        json_array_foreach(json_object_get(reply, "terminals"), i, item)
                if (startswith(json_text(item, "id"), word) && streq(json_text(item, "status"), "running")) {
                        found = item;
                        n++;
                }
        if (n == 0)
                return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: no terminal %s", sandbox, isempty(word) ? "is open" : word);
        if (n > 1)
                return ctl_fail(c, EXIT_STATUS_CONFLICT, "%s: %u terminals are open, say which: %s...", sandbox, n,
                                json_text(found, "id"));
        *ret = json_incref(found);
        return EXIT_STATUS_OK;
}

int verb_attach(Ctl *c, char **words) {
        _cleanup_json_ json_t *terminal = NULL;
        _cleanup_free_ char *id = NULL;
        int r;

        r = begin(c, words[0], &id);
        if (r == EXIT_STATUS_OK)
                r = find_terminal(c, id, words[1] ? words[1] : "", &terminal);
        if (r != EXIT_STATUS_OK)
                return r;
        return terminal_attach(c, &(TerminalAttach) { .sandbox = id, .terminal = json_text(terminal, "id") });
}
