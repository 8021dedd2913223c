/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/ctl.h"
#include "sandboxctl/verbs-table.h"

static Ctl ctl = { .connection = CLIENT_OPTIONS_DEFAULT };
static bool arg_help, arg_version;

static const Option main_options[] = {
        { 'h', "help", NULL, OPTION_FLAG, &arg_help, "Show this, or the help of a verb" },
        { 0, "version", NULL, OPTION_FLAG, &arg_version, "Show the version" },
        { 'j', "json", NULL, OPTION_FLAG, &ctl.json, "Print the server's JSON" },
        { 'U', "url", "URL", OPTION_STRING, &ctl.connection.url,
          "Server, instead of the local socket [$III_SANDBOX_URL]" },
        { 'S', "socket", "PATH", OPTION_STRING, &ctl.connection.socket, "Unix socket of the server" },
        { 0, "token-file", "FILE", OPTION_STRING, &ctl.connection.token_file,
          "File with the token [$III_SANDBOX_TOKEN has it itself]" },
        { 0, "token-fd", "NUMBER", OPTION_UINT, &ctl.connection.token_fd, "Inherited descriptor with the token" },
        {},
};

static int verb_help_of(Ctl *c, char **words);

#define ALL WORDS_ANY

/* A verb is a row here and a function in verb-*.c; the help, the completions' test and the manual's test read the
 * rows. The columns: group, name, arguments, least and most words, words before a command of the user's begins, options,
 * handler, flags, help, example. */
static const Verb verbs[] = {
        { "Sandboxes", "create", "[IMAGE]", 0, 1, ALL, create_options, verb_create, 0,
          "Create a sandbox and print its id",
          "sandboxctl create python:3.12-slim --name web --memory 1G --timeout 2h" },
        { "Sandboxes", "list", "", 0, 0, ALL, list_options, verb_list, 0, "List sandboxes",
          "sandboxctl list --status running --json" },
        { "Sandboxes", "status", "ID", 1, 1, ALL, status_options, verb_status, 0, "Show a sandbox and what it uses",
          "sandboxctl status demo" },
        { "Sandboxes", "top", "", 0, 0, ALL, top_options, verb_top, 0, "Show what sandboxes use, again and again",
          "sandboxctl top --sort memory" },
        { "Sandboxes", "kill", "ID...", 1, ALL, ALL, NULL, verb_kill, 0, "End sandboxes and all that is in them",
          "sandboxctl list --quiet | xargs -r sandboxctl kill" },
        { "Sandboxes", "pause", "ID...", 1, ALL, ALL, NULL, verb_pause, 0, "Freeze all processes",
          "sandboxctl pause demo" },
        { "Sandboxes", "resume", "ID...", 1, ALL, ALL, NULL, verb_resume, 0, "Let them run again",
          "sandboxctl pause demo && sandboxctl resume demo" },
        { "Sandboxes", "renew", "ID SECONDS", 2, 2, ALL, NULL, verb_renew, 0, "Let a sandbox live on, from now",
          "sandboxctl renew demo 2h" },
        { "Sandboxes", "limits", "ID", 1, 1, ALL, limits_options, verb_limits, 0, "Change limits of a live sandbox",
          "sandboxctl limits demo --memory 2G --pids 512" },
        { "Sandboxes", "clone", "ID", 1, 1, ALL, clone_options, verb_clone, 0,
          "Create a sandbox with the files of another one",
          "sandboxctl kill $(sandboxctl clone demo)" },
        { "Sandboxes", "fork", "ID COUNT", 2, 2, ALL, clone_options, verb_fork, 0,
          "Create up to a hundred of them at once",
          "sandboxctl fork demo 3 | xargs sandboxctl kill" },
        { "Sandboxes", "snapshot", "create|list ID, clone|delete SNAPSHOT", 2, 2, ALL, clone_options, verb_snapshot, 0,
          "Keep what a sandbox has written",
          "sandboxctl snapshot delete $(sandboxctl snapshot create demo)" },
        { "Sandboxes", "restore", "ID SNAPSHOT", 2, 2, ALL, NULL, verb_restore, 0,
          "Give a sandbox the files of a snapshot",
          "sandboxctl restore demo $(sandboxctl snapshot create demo)" },
        { "Sandboxes", "alert", "list|history ID, set ID METRIC THRESHOLD [ACTION], delete ALERT", 1, 5, ALL, NULL,
          verb_alert, 0, "Tell, pause or end when a sandbox uses much",
          "sandboxctl alert set demo memory 80 pause" },
        { "Sandboxes", "port", "list ID, expose ID PORT [HOST-PORT], close ID PORT", 2, 4, ALL, NULL, verb_port, 0,
          "Let others connect to a program in a sandbox",
          "sandboxctl port expose demo 8080 && sandboxctl port list demo" },
        { "Sandboxes", "open", "ID PORT", 2, 2, ALL, open_options, verb_open, 0,
          "Print a URL that shows a server in a sandbox",
          "sandboxctl port expose demo 8080 && sandboxctl open demo 8080" },
        { "Sandboxes", "template", "list, show|delete TEMPLATE, create NAME IMAGE", 1, 3, ALL, template_options,
          verb_template, 0, "Keep what sandboxes shall be by a name",
          "sandboxctl template create small python:3.12-slim --memory 128" },
        { "Sandboxes", "network", "list, create|show|delete NETWORK, [dis]connect NETWORK ID", 1, 3, ALL, NULL,
          verb_network, 0, "Let sandboxes reach each other",
          "sandboxctl network create blue && sandboxctl network connect blue demo" },
        { "Sandboxes", "egress", "show|log|open ID, set|allow|remove ID ENTRY...", 2, ALL, ALL, NULL, verb_egress, 0,
          "Say what a sandbox with a network may reach",
          "sandboxctl egress show $(sandboxctl create host --allow example.org)" },
        { "Commands", "run", "IMAGE [COMMAND...]", 1, ALL, 2, run_options, verb_run, VERB_RUNS_COMMAND,
          "Run a command, else a shell, in a sandbox of its own",
          "sandboxctl run python:3.12-slim -- python3 -c 'print(6 * 7)'" },
        { "Commands", "exec", "ID COMMAND...", 2, ALL, 2, exec_options, verb_exec, VERB_RUNS_COMMAND,
          "Run a command in a sandbox",
          "sandboxctl exec demo --cwd /tmp -- tar c . | tar t" },
        { "Commands", "shell", "ID [COMMAND...]", 1, ALL, 2, shell_options, verb_shell, VERB_RUNS_COMMAND,
          "Open a terminal in a sandbox; Ctrl-] d leaves it",
          "sandboxctl shell demo -- python3" },
        { "Commands", "attach", "ID [TERMINAL]", 1, 2, ALL, NULL, verb_attach, VERB_RUNS_COMMAND,
          "Take a terminal over",
          "sandboxctl attach demo" },
        { "Commands", "logs", "ID|COMMAND-ID", 1, 1, ALL, logs_options, verb_logs, 0,
          "Show output of a background command, or of a sandbox",
          "sandboxctl logs -f $(sandboxctl exec -d demo -- echo hello)" },
        { "Commands", "ps", "ID", 1, 1, ALL, ps_options, verb_ps, 0, "List the processes of a sandbox",
          "sandboxctl ps --long demo" },
        { "Commands", "queue", "ACTION [ARGUMENTS...]", 1, ALL, 3, queue_options, verb_queue, 0,
          "Queue commands: submit, status, list, cancel, dlq, requeue, purge",
          "sandboxctl queue --wait submit demo -- echo hello" },
        { "Code", "run-code", "ID FILE", 2, 2, ALL, run_code_options, verb_run_code, VERB_RUNS_COMMAND,
          "Run a program, - is standard input, in its language",
          "echo 'print(6 * 7)' | sandboxctl run-code demo -" },
        { "Code", "env", "ACTION ID [WORDS...]", 2, ALL, ALL, NULL, verb_env, 0,
          "list, get, set or unset variables of all later commands",
          "sandboxctl env set demo COLOR=blue && sandboxctl env get demo COLOR" },
        { "Code", "git", "ID ACTION [WORDS...]", 2, ALL, ALL, git_options, verb_git, VERB_RUNS_COMMAND,
          "clone, status, commit, diff, log, branch, checkout, push, pull",
          "sandboxctl exec demo -- git init -q && sandboxctl git demo status" },
        { "Files", "cp", "SOURCE... TARGET", 2, ALL, ALL, cp_options, verb_cp, 0,
          "Copy files to or from a sandbox, ID:PATH; - is standard input or output",
          "sandboxctl cp -r /tmp/project demo:" },
        { "Files", "volume", "ACTION [VOLUME [ID PATH]]", 1, 4, ALL, volume_options, verb_volume, 0,
          "Keep files longer than a sandbox: create, attach, detach, list, show, delete",
          "sandboxctl volume create store --size 64M" },
        { "Files", "watch", "ID [DIRECTORY]", 1, 2, ALL, watch_options, verb_watch, 0,
          "Show what happens to files, as it happens",
          "timeout 1 sandboxctl watch demo --recursive || true" },
        { "Events", "events", "[ID]", 0, 1, ALL, events_options, verb_events, 0, "Show what happened",
          "sandboxctl events --topic sandbox.created" },
        { "Events", "metrics", "[ID]", 0, 1, ALL, metrics_options, verb_metrics, 0,
          "Show the figures of a sandbox, or of all",
          "sandboxctl metrics --prometheus" },
        { "Events", "trace", "[ID]", 0, 1, ALL, trace_options, verb_trace, 0,
          "Show the last requests and how long they took",
          "sandboxctl trace --function sandbox::create" },
        { "Events", "webhook", "ACTION [WEBHOOK] [URL [TOPIC...]]", 1, ALL, ALL, webhook_options, verb_webhook, 0,
          "Have events sent: create, list, show, test, deliveries, enable, disable, delete",
          "sandboxctl webhook create https://example.org/in 'sandbox.*'" },
        { "System", "images", "", 0, 0, ALL, images_options, verb_images, 0, "List the images that sandboxes can have",
          "sandboxctl images --quiet" },
        { "System", "configure", "", 0, 0, ALL, configure_options, verb_configure, 0,
          "Set the server's address and tokens, show its settings",
          "sandboxctl configure --root /tmp/image --port 8080 --new-token" },
        { "System", "doctor", "", 0, 0, ALL, NULL, verb_doctor, 0, "Check what the host offers",
          "sandboxctl doctor" },
        { "System", "worker", "list|select|reap|migrate", 1, 1, ALL, NULL, verb_worker, 0,
          "See which workers there are, take over from dead ones",
          "sandboxctl worker list" },
        { "System", "version", "", 0, 0, ALL, NULL, verb_version, 0, "Show the version" },
        { "System", "help", "[VERB]", 0, 1, ALL, NULL, verb_help_of, 0, "Show this, or the help of a verb" },
        {},
};

static int show_help(const Verb *v) {
        if (v) {
                verb_help(stdout, "sandboxctl", v);
                (void) fputs("\nGeneral options:\n", stdout);
        } else {
                (void) fputs("sandboxctl [OPTIONS...] VERB [ARGUMENTS...]\n\nRun untrusted code in sandboxes.\n",
                             stdout);
                verbs_help(stdout, verbs);
                (void) fputs("\nOptions:\n", stdout);
        }
        options_help(stdout, main_options);
        (void) fputs("\nAn ID is a sandbox's id, the start of one, or a name. See sandboxctl(1).\n", stdout);
        return EXIT_STATUS_OK;
}

/* Wrong usage of a verb that runs a command must not look like the command's status. */
static int usage(Ctl *c, const char *text) {
        return ctl_fail(c, EXIT_STATUS_USAGE, "%s", text);
}

static int no_verb(Ctl *c, const char *name) {
        const char *near = verb_suggest(verbs, name);

        if (near)
                return ctl_fail(c, EXIT_STATUS_USAGE, "unknown verb '%s', did you mean '%s'?", name, near);
        return ctl_fail(c, EXIT_STATUS_USAGE, "unknown verb '%s', see sandboxctl --help", name);
}

static int verb_help_of(Ctl *c, char **words) {
        const Verb *v = words[0] ? verb_find(verbs, words[0]) : NULL;

        return words[0] && !v ? no_verb(c, words[0]) : show_help(v);
}

static int run_verb(Ctl *c, const Verb *v, char **arguments) {
        const Option *tables[OPTION_TABLES_MAX] = { main_options, v->options };
        _cleanup_free_ char **words = NULL, *error = NULL;
        size_t n;
        int r;

        c->verb = v;
        r = options_parse(tables, arguments, v->stop, &words, &error);
        if (r < 0)
                return usage(c, error ? error : "out of memory");
        if (arg_help)
                return show_help(v);

        n = strv_length(words);
        if (n < v->min || n > v->max)
                return ctl_fail(c, EXIT_STATUS_USAGE, "too %s arguments, wanted: %s%s%s", n < v->min ? "few" : "many",
                                v->name, isempty(v->arguments) ? "" : " ", v->arguments);
        return v->handler(c, words);
}

static int run(Ctl *c, char **argv) {
        static const Option *const tables[OPTION_TABLES_MAX] = { main_options };
        _cleanup_free_ char **words = NULL, *error = NULL;
        const Verb *v;
        int r;

        r = options_parse(tables, argv + 1, /* stop= */ 1, &words, &error);
        if (r < 0)
                return usage(c, error ? error : "out of memory");
        if (arg_help && !words[0])
                return show_help(NULL);
        if (arg_version)
                return verb_version(c, words);
        if (!words[0])
                return usage(c, "say what to do, see sandboxctl --help");
        v = verb_find(verbs, words[0]);
        return v ? run_verb(c, v, words + 1) : no_verb(c, words[0]);
}

int main(_unused_ int argc, char **argv) {
        int status;

        log_set_program("sandboxctl");
        /* A reader that went away is an error of write() to us, so that what was begun is still cleaned up. */
        (void) signal(SIGPIPE, SIG_IGN);
        ctl.out = stdout;
        status = run(&ctl, argv);
        client_free(ctl.client);
        free(ctl.known);
        free(ctl.known_id);
        if (fflush(stdout) == EOF && status == EXIT_STATUS_OK)
                return ctl_fail(&ctl, EXIT_STATUS_FAILURE, "failed to write the output: %m");
        return status;
}
