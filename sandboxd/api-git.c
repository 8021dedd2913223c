/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api-tool.h"
#include "sandboxd/git.h"
#include "sandboxd/json-body.h"
#include "sandboxd/path-rule.h"

/* The image's own git, as root of the sandbox. What clients compare is answered as git says it: a failed clone is an
 * ExecResult with git's status, a directory without a repository has a clean status and an empty log. */

#define OUTPUT_MAX (10 * MiB)
#define COMPLAINT_BEGIN_MAX 1000U

typedef struct GitInput {
        char *path, *url, *branch, *message, *ref, *name, *remote, *file;
        char *username, *password, *token;
        int64_t depth, count, timeout;
        bool all, staged, delete, force;
        char *target;           /* of a clone, absolute */
        GitAccess access;
} GitInput;

#define TEXT(field, flags, help) { #field, JSON_FIELD_STRING, offsetof(GitInput, field), flags, 0, GIT_TEXT_MAX, help }
#define FLAG(field, help) { #field, JSON_FIELD_BOOL, offsetof(GitInput, field), JSON_FIELD_LENIENT, 0, 0, help }
#define NUMBER(field, least, most, help)                                                           \
        { #field, JSON_FIELD_INT, offsetof(GitInput, field), JSON_FIELD_CLAMP, least, most, help }
#define PATH TEXT(path, 0, "the repository's directory; the workspace")
#define TIMEOUT TOOL_TIMEOUT_FIELD(GitInput)
#define PASSWORD TEXT(password, 0, "secret: seen by this one git only")
#define TOKEN TEXT(token, 0, "the same, without a user name")
#define USERNAME TEXT(username, 0, "for password")

/* A call: its t knows where, its in what. */
typedef struct GitCall {
        ApiTool *tool;
        GitInput *in;
        char **argv;
        int r;
} GitCall;

static void add(GitCall *c, const char *word) {
        if (c->r >= 0)
                c->r = strv_extend(&c->argv, word);
}

static void add_value(GitCall *c, const char *option, const char *value) {
        _cleanup_free_ char *word = NULL;

        if (asprintf(&word, "%s=%s", option, value) < 0)
                c->r = -ENOMEM;
        else
                add(c, word);
}

/* Only what was given is looked at. */
static int check_operands(const GitInput *in, sd_bus_error *error) {
        const struct {
                const char *name, *value;
        } operands[] = {
                { "branch", in->branch }, { "file", in->file }, { "name", in->name }, { "ref", in->ref },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(operands); i++)
                if (operands[i].value)
                        r = git_check_operand(operands[i].name, operands[i].value, error);
        if (r >= 0 && in->url)
                r = git_check_url(in->url, error);
        if (r >= 0 && in->remote)
                r = git_check_operand("remote", in->remote, error);
        if (r >= 0 && in->remote && strpbrk(in->remote, ":/"))
                r = git_check_url(in->remote, error);
        return r;
}

static int find_access(GitInput *in, sd_bus_error *error) {
        const char *remote = in->remote && strpbrk(in->remote, ":/") ? in->remote : NULL;

        return git_access_init(in->url ?: remote, in->username, in->password ?: in->token, &in->access, error);
}

static int prepare(Request *request, GitInput *in, ApiTool **ret, sd_bus_error *error) {
        _cleanup_(api_tool_freep) ApiTool *t = NULL;
        Manager *m = request_userdata(request);
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = check_operands(in, error);
        if (r >= 0)
                r = find_access(in, error);
        if (r < 0)
                return r;
        t = api_tool_new(request, s);
        if (!t)
                return -ENOMEM;
        t->spec.timeout_usec = api_tool_timeout(m, in->timeout);
        r = git_make_env(&in->access, (char ***) &t->spec.env);
        if (r >= 0)
                r = path_anywhere(m->settings.workspace_dir, isempty(in->path) ? "." : in->path,
                                  (char **) &t->spec.cwd, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

/* t is freed unless the program is under way. */
static int start(ApiTool *t, GitCall *c, ApiToolAnswer answer, sd_bus_error *error) {
        if (c->r < 0) {
                strv_free(c->argv);
                return c->r;
        }
        return api_tool_start(t, c->argv, answer, error);
}

static GitCall begin(const char *verb) {
        GitCall c = {};

        add(&c, "git");
        add(&c, verb);
        return c;
}

static int answer_result(ApiTool *t, const Command *c, sd_bus_error *error) {
        (void) error;
        return api_reply_result(t->request, c);
}

typedef void (*GitWords)(GitCall *c, const GitInput *in);

/* A route whose answer is made by one git. */
static int run(Request *request, GitInput *in, const char *verb, GitWords words, ApiToolAnswer answer,
               sd_bus_error *error) {
        _cleanup_(api_tool_freep) ApiTool *t = NULL;
        GitCall c;
        int r;

        r = prepare(request, in, &t, error);
        if (r < 0)
                return r;
        c = begin(verb);
        words(&c, in);
        return api_tool_sent(&t, start(t, &c, answer, error));
}

static int with_input(Request *request, const ApiInput *route, sd_bus_error *error) {
        GitInput in = { .count = 10 };
        int r;

        r = api_with_input(request, route, &in, error);
        git_access_done(&in.access);
        free(in.target);
        return r;
}

#define ROUTE(function, fields, handler)                                                           \
        int function(Request *request, sd_bus_error *error) {                                      \
                static const ApiInput route = { fields, ELEMENTSOF(fields), handler };             \
                                                                                                   \
                return with_input(request, &route, error);                                         \
        }

static const JsonField clone_fields[] = {
        TEXT(branch, 0, "to check out"),
        NUMBER(depth, 1, 1000000000, "commits of history"),
        PASSWORD,
        TEXT(path, 0, "the directory to make; git's choice"),
        TIMEOUT,
        TOKEN,
        TEXT(url, JSON_FIELD_MANDATORY, "https, http, ssh, git, host:path, or an absolute path inside"),
        USERNAME,
};
const JsonTable git_clone_table = JSON_TABLE(clone_fields);

static void clone_words(GitCall *c, const GitInput *in) {
        char depth[32];

        if (in->branch)
                add_value(c, "--branch", in->branch);
        snprintf(depth, sizeof depth, "%lld", (long long) in->depth);
        if (in->depth > 0)
                add_value(c, "--depth", depth);
        add(c, "--");
        add(c, in->access.url);
        if (in->target)
                add(c, in->target);
}

/* path is where it goes to, not where git starts. */
static int do_clone(Request *request, void *userdata, sd_bus_error *error) {
        const Manager *m = request_userdata(request);
        GitInput *in = userdata;
        int r;

        r = git_check_url(in->url, error);
        if (r >= 0 && !isempty(in->path))
                r = path_anywhere(m->settings.workspace_dir, in->path, &in->target, error);
        if (r < 0)
                return r;
        in->path = mfree(in->path);
        return run(request, in, "clone", clone_words, answer_result, error);
}

ROUTE(api_git_clone, clone_fields, do_clone)

/* Behind what is wrong git explains all its options at times, so that the end of what it says is of no help. */
static char *complaint_of(const Command *c) {
        _cleanup_free_ char *begin = NULL;
        char *usage = NULL;
        size_t n;

        if (tool_read(c, 1, COMPLAINT_BEGIN_MAX, &begin, &n) >= 0)
                usage = strstr(begin, "\nusage: ");
        if (!usage)
                return tool_complaint(c);
        *usage = 0;
        return utf8_sanitize(begin, strlen(begin));
}

/* What git had to say beside an answer that clients expect all the same. */
static int reply_with_complaint(ApiTool *t, const Command *c, json_t *reply) {
        _cleanup_free_ char *complaint = NULL;

        if (command_exit_code(c) != 0) {
                complaint = complaint_of(c);
                (void) json_object_set_new(reply, "error", json_string(complaint ?: "git failed"));
        }
        return request_reply_json(t->request, c->timed_out ? 504 : 200, reply);
}

static int answer_parsed(ApiTool *t, const Command *c, json_t *(*parse)(const char *text, size_t n), const char *key) {
        _cleanup_free_ char *text = NULL;
        json_t *reply;
        size_t n;
        int r;

        r = tool_read(c, 0, OUTPUT_MAX, &text, &n);
        if (r < 0)
                return r;
        reply = parse(text, n);
        return reply_with_complaint(t, c, key ? json_pack("{s:o}", key, reply) : reply);
}

static const JsonField status_fields[] = { PATH, TIMEOUT };
const JsonTable git_status_table = JSON_TABLE(status_fields);

static void status_words(GitCall *c, const GitInput *in) {
        (void) in;
        add(c, "--porcelain");
        add(c, "--branch");
}

static int answer_status(ApiTool *t, const Command *c, sd_bus_error *error) {
        (void) error;
        return answer_parsed(t, c, git_status_to_json, NULL);
}

static int do_status(Request *request, void *userdata, sd_bus_error *error) {
        return run(request, userdata, "status", status_words, answer_status, error);
}

ROUTE(api_git_status, status_fields, do_status)

static const JsonField commit_fields[] = {
        FLAG(all, "add everything first"),
        { "message", JSON_FIELD_STRING, offsetof(GitInput, message), JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0,
          64 * KiB, "of the commit" },
        PATH,
        TIMEOUT,
};
const JsonTable git_commit_table = JSON_TABLE(commit_fields);

static int commit(ApiTool *t, const char *message, sd_bus_error *error) {
        GitCall c = begin("commit");

        add_value(&c, "--message", message);
        return start(t, &c, answer_result, error);
}

static int answer_added(ApiTool *t, const Command *c, sd_bus_error *error) {
        return command_exit_code(c) == 0 ? commit(t, t->data, error) : api_reply_result(t->request, c);
}

static int do_commit(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_tool_freep) ApiTool *t = NULL;
        GitInput *in = userdata;
        GitCall c;
        int r;

        r = prepare(request, in, &t, error);
        if (r < 0)
                return r;
        if (!in->all)
                return api_tool_sent(&t, commit(t, in->message, error));
        t->data = TAKE_PTR(in->message);
        t->free_data = free;
        c = begin("add");
        add(&c, "--all");
        return api_tool_sent(&t, start(t, &c, answer_added, error));
}

ROUTE(api_git_commit, commit_fields, do_commit)

static const JsonField diff_fields[] = {
        TEXT(file, 0, "this one only"),
        PATH,
        FLAG(staged, "what would be committed"),
        TIMEOUT,
};
const JsonTable git_diff_table = JSON_TABLE(diff_fields);

static void diff_words(GitCall *c, const GitInput *in) {
        add(c, "--no-color");
        add(c, "--no-ext-diff");
        if (in->staged)
                add(c, "--cached");
        add(c, "--");
        if (in->file)
                add(c, in->file);
}

/* It may be large: sent from where it is kept. */
static int answer_diff(ApiTool *t, const Command *c, sd_bus_error *error) {
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        int r;

        (void) error;
        if (command_exit_code(c) != 0)
                return reply_with_complaint(t, c, json_pack("{s:s}", "diff", ""));
        r = json_body_new(&b);
        if (r >= 0)
                r = json_body_add(b, "{\"diff\":");
        if (r >= 0)
                r = json_body_add_spool(b, c->outputs[0].spool, 0, SPOOL_HEAD_MAX, JSON_STRING_TEXT);
        if (r >= 0)
                r = json_body_add(b, "%s}", spool_total(c->outputs[0].spool) > SPOOL_HEAD_MAX ? ",\"truncated\":true" : "");
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), t->request, 200);
}

static int do_diff(Request *request, void *userdata, sd_bus_error *error) {
        return run(request, userdata, "diff", diff_words, answer_diff, error);
}

ROUTE(api_git_diff, diff_fields, do_diff)

static const JsonField log_fields[] = { NUMBER(count, 1, 1000, "commits"), PATH, TIMEOUT };
const JsonTable git_log_table = JSON_TABLE(log_fields);

static void log_words(GitCall *c, const GitInput *in) {
        char count[32];

        snprintf(count, sizeof count, "%lld", (long long) in->count);
        add_value(c, "--max-count", count);
        add(c, "-z");
        add(c, "--format=tformat:" GIT_LOG_FORMAT);
        add(c, "--");
}

static int answer_log(ApiTool *t, const Command *c, sd_bus_error *error) {
        (void) error;
        return answer_parsed(t, c, git_log_to_json, "entries");
}

static int do_log(Request *request, void *userdata, sd_bus_error *error) {
        return run(request, userdata, "log", log_words, answer_log, error);
}

ROUTE(api_git_log, log_fields, do_log)

static const JsonField branch_fields[] = {
        FLAG(delete, "take name away"),
        FLAG(force, "(delete) also what is not merged"),
        TEXT(name, 0, "to make and to go to; without it they are listed only"),
        PATH,
        TIMEOUT,
};
const JsonTable git_branch_table = JSON_TABLE(branch_fields);

static int answer_branches(ApiTool *t, const Command *c, sd_bus_error *error) {
        (void) error;
        return answer_parsed(t, c, git_branches_to_json, NULL);
}

static int list_branches(ApiTool *t, sd_bus_error *error) {
        GitCall c = begin("branch");

        add(&c, "--no-color");
        add(&c, "--no-column");
        add(&c, "--all");
        return start(t, &c, answer_branches, error);
}

static int answer_changed(ApiTool *t, const Command *c, sd_bus_error *error) {
        _cleanup_free_ char *complaint = NULL;

        if (command_exit_code(c) == 0)
                return list_branches(t, error);
        complaint = complaint_of(c);
        return bus_error_set(error, c->timed_out ? BUS_ERROR_TIMED_OUT : BUS_ERROR_INVALID, "git: %s",
                             complaint ?: "it failed");
}

static int do_branch(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_tool_freep) ApiTool *t = NULL;
        GitInput *in = userdata;
        GitCall c;
        int r;

        r = prepare(request, in, &t, error);
        if (r < 0)
                return r;
        if (!in->name)
                return api_tool_sent(&t, list_branches(t, error));
        c = begin(in->delete ? "branch" : "checkout");
        add(&c, in->delete ? in->force ? "-D" : "-d" : "-b");
        if (in->delete)
                add(&c, "--");
        add(&c, in->name);
        return api_tool_sent(&t, start(t, &c, answer_changed, error));
}

ROUTE(api_git_branch, branch_fields, do_branch)

static const JsonField checkout_fields[] = {
        PATH,
        TEXT(ref, JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, "a branch, tag or commit"),
        TIMEOUT,
};
const JsonTable git_checkout_table = JSON_TABLE(checkout_fields);

/* What stands before "--" is a revision and never a file. */
static void checkout_words(GitCall *c, const GitInput *in) {
        add(c, in->ref);
        add(c, "--");
}

static int do_checkout(Request *request, void *userdata, sd_bus_error *error) {
        return run(request, userdata, "checkout", checkout_words, answer_result, error);
}

ROUTE(api_git_checkout, checkout_fields, do_checkout)

static const JsonField push_fields[] = {
        TEXT(branch, 0, "to push; what the configuration says"),
        FLAG(force, "also what the remote would lose commits by"),
        PASSWORD,
        PATH,
        TEXT(remote, 0, "its name or URL; origin"),
        TIMEOUT,
        TOKEN,
        USERNAME,
};
const JsonTable git_push_table = JSON_TABLE(push_fields);

static void remote_words(GitCall *c, const GitInput *in) {
        add(c, "--");
        if (in->remote || in->branch)
                add(c, in->access.url ?: in->remote ?: "origin");
        if (in->branch)
                add(c, in->branch);
}

static void push_words(GitCall *c, const GitInput *in) {
        if (in->force)
                add(c, "--force");
        remote_words(c, in);
}

static int do_push(Request *request, void *userdata, sd_bus_error *error) {
        return run(request, userdata, "push", push_words, answer_result, error);
}

ROUTE(api_git_push, push_fields, do_push)

static const JsonField pull_fields[] = {
        TEXT(branch, 0, "to fetch and merge; what the configuration says"),
        PASSWORD,
        PATH,
        TEXT(remote, 0, "its name or URL; origin"),
        TIMEOUT,
        TOKEN,
        USERNAME,
};
const JsonTable git_pull_table = JSON_TABLE(pull_fields);

static int do_pull(Request *request, void *userdata, sd_bus_error *error) {
        return run(request, userdata, "pull", remote_words, answer_result, error);
}

ROUTE(api_git_pull, pull_fields, do_pull)
