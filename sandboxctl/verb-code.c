/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* Code and what it works on: variables, repositories, programs. What the server answers with is printed as the programs
 * themselves would print it. */

#define CODE_MAX (16 * MiB)

static char *arg_path, *arg_branch, *arg_language, *arg_cwd;
static uint64_t arg_count = UINT64_MAX, arg_depth = UINT64_MAX, arg_timeout = UINT64_MAX;
static bool arg_all, arg_staged, arg_force, arg_delete, arg_new;

const Option git_options[] = {
        { 'p', "path", "PATH", OPTION_STRING, &arg_path, "The repository; /workspace unless given" },
        { 'b', "branch", "NAME", OPTION_STRING, &arg_branch, "(clone) Branch to check out" },
        { 0, "depth", "NUMBER", OPTION_UINT, &arg_depth, "(clone) Commits of history" },
        { 'a', "all", NULL, OPTION_FLAG, &arg_all, "(commit) Add everything first" },
        { 0, "staged", NULL, OPTION_FLAG, &arg_staged, "(diff) What would be committed" },
        { 'n', "count", "NUMBER", OPTION_UINT, &arg_count, "(log) Commits to show" },
        { 'f', "force", NULL, OPTION_FLAG, &arg_force, "(push, branch --delete) Also if commits are lost" },
        { 'd', "delete", NULL, OPTION_FLAG, &arg_delete, "(branch) Delete it" },
        {},
};

const Option run_code_options[] = {
        { 'l', "language", "NAME", OPTION_STRING, &arg_language,
          "python, javascript, typescript, go or bash, unless the file's name says it" },
        { 'w', "cwd", "PATH", OPTION_STRING, &arg_cwd, "Directory that it starts in" },
        { 't', "timeout", "SECONDS", OPTION_SECONDS, &arg_timeout, "End it after this time" },
        { 'N', "new", NULL, OPTION_FLAG, &arg_new, "ID is an image: run it in a sandbox of its own" },
        {},
};

static int print_line(const char *before, const char *text) {
        _cleanup_free_ char *safe = text_escape(text, strlen(text));

        (void) printf("%s%s\n", before, safe ?: "");
        return EXIT_STATUS_OK;
}

static int ask(Ctl *c, const char *id, const char *method, const char *route, json_t *body, json_t **ret) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s%s", id, route);

        return ctl_request(c, id, method, path, body, ret);
}

static int env_list(Ctl *c, const char *id) {
        _cleanup_json_ json_t *reply = NULL;
        const char *key;
        json_t *value;
        int r;

        r = ask(c, id, "GET", "/env", NULL, &reply);
        if (r != EXIT_STATUS_OK || c->json)
                return r != EXIT_STATUS_OK ? r : ctl_print_json(c, reply);
        json_object_foreach(json_object_get(reply, "vars"), key, value) {
                (void) printf("%s=", key);
                (void) print_line("", json_string_value(value) ?: "");
        }
        return EXIT_STATUS_OK;
}

/* A variable that is not there is a failure without a word, as with printenv(1). */
static int env_get(Ctl *c, const char *id, const char *key) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, id, "POST", "/env/get", json_pack("{s:s}", "key", key), &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        if (!json_is_true(json_object_get(reply, "exists")))
                return EXIT_STATUS_FAILURE;
        return print_line("", json_text(reply, "value"));
}

static int env_set(Ctl *c, const char *id, char **words) {
        json_t *vars = json_from_assignments(c, words, /* environment= */ true);
        _cleanup_json_ json_t *reply = NULL;
        int r;

        if (!vars)
                return EXIT_STATUS_USAGE;
        if (json_object_size(vars) == 0) {
                json_decref(vars);
                return ctl_fail(c, EXIT_STATUS_USAGE, "%s has no value here to take, say %s=VALUE", words[0], words[0]);
        }
        r = ask(c, id, "POST", "/env", json_pack("{s:o}", "vars", vars), &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int env_unset(Ctl *c, const char *id, char **words) {
        int r = EXIT_STATUS_OK;

        for (; r == EXIT_STATUS_OK && *words; words++)
                r = ask(c, id, "POST", "/env/delete", json_pack("{s:s}", "key", *words), NULL);
        return r;
}

int verb_env(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL;
        size_t n = strv_length(words);
        int r;

        r = ctl_resolve(c, words[1], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        if (streq(words[0], "list") && n == 2)
                return env_list(c, id);
        if (streq(words[0], "get") && n == 3)
                return env_get(c, id, words[2]);
        if (streq(words[0], "set") && n > 2)
                return env_set(c, id, words + 2);
        if (streq(words[0], "unset") && n > 2)
                return env_unset(c, id, words + 2);
        return ctl_fail(c, EXIT_STATUS_USAGE, "wanted: list ID, get ID KEY, set ID KEY=VALUE..., unset ID KEY...");
}

/* stdout, stderr and status of a program inside. */
static int print_result(const json_t *reply) {
        (void) fputs(json_text(reply, "stdout"), stdout);
        (void) fflush(stdout);
        (void) fputs(json_text(reply, "stderr"), stderr);
        return (int) json_int(reply, "exitCode");
}

static int print_status(const json_t *reply) {
        const json_t *row;
        size_t i;

        (void) print_line("## ", json_text(reply, "branch"));
        json_array_foreach(json_object_get(reply, "files"), i, row) {
                (void) printf("%-2.2s ", json_text(row, "status"));
                (void) print_line("", json_text(row, "path"));
        }
        return EXIT_STATUS_OK;
}

static int print_diff(const json_t *reply) {
        (void) fputs(json_text(reply, "diff"), stdout);
        return EXIT_STATUS_OK;
}

static int print_log(const json_t *reply) {
        const json_t *row;
        size_t i;

        json_array_foreach(json_object_get(reply, "entries"), i, row) {
                _cleanup_free_ char *author = text_escape(json_text(row, "author"), strlen(json_text(row, "author")));

                (void) printf("%.12s %.19s %s: ", json_text(row, "hash"), json_text(row, "date"), author ?: "");
                (void) print_line("", json_text(row, "message"));
        }
        return EXIT_STATUS_OK;
}

static int print_branches(const json_t *reply) {
        const char *current = json_text(reply, "current");
        const json_t *row;
        size_t i;

        json_array_foreach(json_object_get(reply, "branches"), i, row)
                (void) print_line(streq(json_string_value(row) ?: "", current) ? "* " : "  ",
                                  json_string_value(row) ?: "");
        return EXIT_STATUS_OK;
}

/* first and second: what the words behind the verb are called on the wire. */
static const struct GitVerb {
        const char *name, *first, *second;
        unsigned min, max;
        bool asks;                      /* by GET */
        int (*print)(const json_t *reply);
} git_verbs[] = {
        { "branch",   "name",    NULL,     0, 1, false, print_branches },
        { "checkout", "ref",     NULL,     1, 1, false, print_result   },
        { "clone",    "url",     "path",   1, 2, false, print_result   },
        { "commit",   "message", NULL,     1, 1, false, print_result   },
        { "diff",     "file",    NULL,     0, 1, true,  print_diff     },
        { "log",      NULL,      NULL,     0, 0, true,  print_log      },
        { "pull",     "remote",  "branch", 0, 2, false, print_result   },
        { "push",     "remote",  "branch", 0, 2, false, print_result   },
        { "status",   NULL,      NULL,     0, 0, true,  print_status   },
};

static json_t *git_input(const struct GitVerb *v, char **words) {
        json_t *body = json_object();

        (void) json_set_text(body, "path", arg_path);
        (void) json_set_text(body, "branch", arg_branch);
        (void) json_set_uint(body, "depth", arg_depth);
        (void) json_set_uint(body, "count", arg_count);
        if (arg_all)
                (void) json_object_set_new(body, "all", json_true());
        if (arg_staged)
                (void) json_object_set_new(body, "staged", json_true());
        if (arg_force)
                (void) json_object_set_new(body, "force", json_true());
        if (arg_delete)
                (void) json_object_set_new(body, "delete", json_true());
        if (words[0])
                (void) json_set_text(body, v->first, words[0]);
        if (words[0] && words[1])
                (void) json_set_text(body, v->second, words[1]);
        return body;
}

int verb_git(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *id = NULL;
        const struct GitVerb *v = NULL;
        size_t n = strv_length(words) - 2;
        char route[32];
        int r;

        for (size_t i = 0; i < ELEMENTSOF(git_verbs); i++)
                if (streq(git_verbs[i].name, words[1]))
                        v = git_verbs + i;
        if (!v || n < v->min || n > v->max)
                return ctl_fail(c, EXIT_STATUS_USAGE, "wanted: clone URL [PATH], status, commit MESSAGE, diff [FILE], "
                                "log, branch [NAME], checkout REF, push or pull [REMOTE [BRANCH]]");
        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        (void) snprintf(route, sizeof route, "/git/%s", v->name);
        r = ask(c, id, v->asks ? "GET" : "POST", route, git_input(v, words + 2), &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        if (v->print != print_result && json_object_get(reply, "error"))
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s", json_text(reply, "error"));
        return v->print(reply);
}

static int read_code(const Ctl *c, const char *path, char **ret) {
        _cleanup_close_ int opened = -EBADF;
        _cleanup_free_ char *code = malloc(CODE_MAX + 1);
        int fd = STDIN_FILENO;
        ssize_t n;

        if (!code)
                return ctl_oom(c);
        if (!streq(path, "-")) {
                fd = opened = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: %s", path, strerror(errno));
        }
        n = loop_read(fd, code, CODE_MAX);
        if (n < 0)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: %s", path, strerror((int) -n));
        code[n] = 0;
        if (strlen(code) != (size_t) n || !utf8_is_valid(code, (size_t) n))
                return ctl_fail(c, EXIT_STATUS_USAGE, "%s: this is no text", path);
        *ret = TAKE_PTR(code);
        return EXIT_STATUS_OK;
}

static const char *language_of(const char *path) {
        static const char *const languages[][2] = {
                { ".bash", "bash" }, { ".go", "go" }, { ".js", "javascript" }, { ".mjs", "javascript" },
                { ".py", "python" }, { ".sh", "bash" }, { ".ts", "typescript" },
        };

        for (size_t i = 0; !arg_language && i < ELEMENTSOF(languages); i++)
                if (endswith(path, languages[i][0]))
                        return languages[i][1];
        return arg_language ?: "python";
}

static int run_code(Ctl *c, const char *id, const char *path, const char *code) {
        _cleanup_json_ json_t *reply = NULL;
        json_t *body = json_pack("{s:s, s:s}", "code", code, "language", language_of(path));
        int r;

        (void) json_set_text(body, "cwd", arg_cwd);
        (void) json_set_uint(body, "timeout", arg_timeout);
        r = ask(c, id, "POST", "/interpret/execute", body, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        (void) fputs(json_text(reply, "output"), stdout);
        (void) fflush(stdout);
        (void) fputs(json_text(reply, "stderr"), stderr);
        return (int) json_int(reply, "exitCode");
}

int verb_run_code(Ctl *c, char **words) {
        SandboxArguments arguments = SANDBOX_ARGUMENTS_DEFAULT;
        _cleanup_json_ json_t *sandbox = NULL;
        _cleanup_free_ char *id = NULL, *code = NULL;
        int r;

        r = read_code(c, words[1], &code);
        if (r != EXIT_STATUS_OK)
                return r;
        if (!arg_new) {
                r = ctl_resolve(c, words[0], &id);
                return r == EXIT_STATUS_OK ? run_code(c, id, words[1], code) : r;
        }
        r = sandbox_create(c, words[0], &arguments, &sandbox);
        if (r != EXIT_STATUS_OK)
                return r;
        r = run_code(c, json_text(sandbox, "id"), words[1], code);
        (void) sandbox_delete(c, json_text(sandbox, "id"), NULL);
        return r;
}
