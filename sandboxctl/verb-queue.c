/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/exec-stream.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* Jobs: commands that run when there is room, and that nobody has to wait for. */

#define POLL_FIRST_MSEC 50U
#define POLL_LAST_MSEC 1000U
#define PAGE 200

static const char *arg_cwd, *arg_user, *arg_status, *arg_sandbox;
static char **arg_env;
static uint64_t arg_timeout = UINT64_MAX, arg_retries = UINT64_MAX;
static bool arg_wait, arg_quiet;

const Option queue_options[] = {
        { 'w', "cwd", "PATH", OPTION_STRING, &arg_cwd, "(submit) Directory that the command starts in" },
        { 'e', "env", "KEY=VALUE", OPTION_STRV, &arg_env,
          "(submit) Environment variable; KEY alone takes the caller's value. May be repeated" },
        { 't', "timeout", "SECONDS", OPTION_SECONDS, &arg_timeout, "(submit) Kill an attempt after this time" },
        { 'u', "user", "USER", OPTION_STRING, &arg_user, "(submit) UID or UID:GID in the sandbox to run it as" },
        { 'r', "max-retries", "NUMBER", OPTION_UINT, &arg_retries, "(submit) Attempts at most" },
        { 0, "wait", NULL, OPTION_FLAG, &arg_wait, "(submit, status, requeue) Wait for the end and print the output" },
        { 's', "status", "STATUS", OPTION_STRING, &arg_status, "(list) Only jobs in this state" },
        { 0, "sandbox", "ID", OPTION_STRING, &arg_sandbox, "(list, dlq, purge) Only jobs of this sandbox" },
        { 'q', "quiet", NULL, OPTION_FLAG, &arg_quiet, "Print ids only" },
        {},
};

static int check_job(const Ctl *c, const char *id) {
        return object_id_is_valid(id, "job") ? EXIT_STATUS_OK
                                             : ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not the id of a job", id);
}

static int get_job(Ctl *c, const char *id, json_t **ret) {
        _cleanup_free_ char *path = ctl_path("/queue/%s/status", id);

        return ctl_request(c, id, "GET", path, NULL, ret);
}

static bool has_ended(const json_t *job) {
        return !streq(json_text(job, "status"), "pending") && !streq(json_text(job, "status"), "running");
}

static int write_output(Ctl *c, const json_t *job) {
        const json_t *result = json_object_get(job, "result");
        int r;

        r = output_event_write(result, "stdout", STDOUT_FILENO);
        if (r >= 0)
                r = output_event_write(result, "stderr", STDERR_FILENO);
        return r < 0 ? ctl_fail(c, EXIT_STATUS_FAILURE, "failed to write: %s", strerror(-r)) : EXIT_STATUS_OK;
}

/* What became of it, as output and status. */
static int show_end(Ctl *c, const json_t *job) {
        const json_t *result = json_object_get(job, "result");
        const char *id = json_text(job, "id"), *error = json_text(job, "error");
        int r;

        if (c->json)
                return ctl_print_json(c, job);
        if (!result)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: %s%s%s", id, json_text(job, "status"),
                                isempty(error) ? "" : ": ", error);
        r = write_output(c, job);
        if (r == EXIT_STATUS_OK && json_int(result, "exitCode") != 0)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: the command ended with status %" PRIi64, id,
                                json_int(result, "exitCode"));
        return r;
}

static int wait_for_end(Ctl *c, const char *id) {
        for (unsigned pause_msec = POLL_FIRST_MSEC;; pause_msec = MIN(pause_msec * 2, POLL_LAST_MSEC)) {
                _cleanup_json_ json_t *job = NULL;
                struct timespec ts = { .tv_sec = pause_msec / 1000, .tv_nsec = pause_msec % 1000 * 1000000 };
                int r;

                r = get_job(c, id, &job);
                if (r != EXIT_STATUS_OK)
                        return r;
                if (has_ended(job))
                        return show_end(c, job);
                (void) nanosleep(&ts, NULL);
        }
}

/* A new job, or one that is new again. */
static int show_queued(Ctl *c, const json_t *job) {
        const char *id = json_text(job, "id");

        if (!object_id_is_valid(id, "job"))
                return ctl_fail(c, EXIT_STATUS_SERVER, "the answer has no id");
        if (arg_wait)
                return wait_for_end(c, id);
        if (c->json)
                return ctl_print_json(c, job);
        (void) puts(id);
        return EXIT_STATUS_OK;
}

static int queue_submit(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        _cleanup_json_ json_t *body = NULL, *job = NULL;
        int r;

        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        body = exec_request_to_json(c, &(ExecRequest) { .sandbox = id, .argv = words + 1, .cwd = arg_cwd, .env = arg_env,
                                                        .user = arg_user, .timeout_sec = arg_timeout });
        if (!body)
                return EXIT_STATUS_USAGE;
        if (json_set_uint(body, "maxRetries", arg_retries) < 0)
                return ctl_oom(c);
        path = ctl_path("/sandboxes/%s/exec/queue", id);
        r = ctl_request(c, id, "POST", path, TAKE_PTR(body), &job);
        return r == EXIT_STATUS_OK ? show_queued(c, job) : r;
}

static void print_line(FILE *f, const char *label, const char *value) {
        _cleanup_free_ char *safe = text_escape(value, strlen(value));

        if (safe && *safe)
                (void) fprintf(f, "%10s: %s\n", label, safe);
}

static void print_moment(FILE *f, const char *label, const json_t *job, const char *key) {
        char text[TEXT_SHORT_MAX];

        if (json_int(job, key) > 0)
                print_line(f, label, text_relative(json_int(job, key), now_msec(), text));
}

static int queue_status(Ctl *c, char **words) {
        _cleanup_json_ json_t *job = NULL;
        int r;

        r = check_job(c, words[0]);
        if (r == EXIT_STATUS_OK && arg_wait)
                return wait_for_end(c, words[0]);
        if (r == EXIT_STATUS_OK)
                r = get_job(c, words[0], &job);
        if (r != EXIT_STATUS_OK || c->json)
                return r == EXIT_STATUS_OK ? ctl_print_json(c, job) : r;
        print_line(stdout, "ID", json_text(job, "id"));
        print_line(stdout, "Sandbox", json_text(job, "sandboxId"));
        print_line(stdout, "Command", json_text(job, "command"));
        print_line(stdout, "Status", json_text(job, "status"));
        print_line(stdout, "Error", json_text(job, "error"));
        (void) printf("%10s: %" PRIi64 " of %" PRIi64 "\n", "Failures", json_int(job, "retries"),
                      json_int(job, "maxRetries"));
        print_moment(stdout, "Created", job, "createdAt");
        print_moment(stdout, "Started", job, "startedAt");
        print_moment(stdout, "Ended", job, "completedAt");
        if (json_object_get(job, "result"))
                (void) printf("%10s: %" PRIi64 "\n", "Exit code", json_int(json_object_get(job, "result"), "exitCode"));
        return EXIT_STATUS_OK;
}

static int add_job(Table *t, const json_t *job) {
        char created[TEXT_SHORT_MAX];
        int r;

        text_relative(json_int(job, "createdAt"), now_msec(), created);
        r = table_add(t, json_text(job, "id"));
        if (r >= 0)
                r = table_add(t, json_text(job, "sandboxId"));
        if (r >= 0)
                r = table_add(t, json_text(job, "status"));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64 "/%" PRIi64, json_int(job, "retries"), json_int(job, "maxRetries"));
        if (r >= 0)
                r = table_add(t, created);
        if (r >= 0)
                r = table_add(t, isempty(json_text(job, "error")) ? json_text(job, "command") : json_text(job, "error"));
        return r;
}

static void print_job(FILE *f, const json_t *job) {
        if (object_id_is_valid(json_text(job, "id"), "job"))
                (void) fprintf(f, "%s\n", json_text(job, "id"));
}

static int add_page(Ctl *c, const char *filter, int64_t *cursor, json_t *jobs, json_t **ret) {
        _cleanup_free_ char *path = ctl_path("/queue?limit=%d&cursor=%" PRIi64 "%s", PAGE, *cursor, filter);
        int r;

        r = ctl_request(c, "queue", "GET", path, NULL, ret);
        if (r != EXIT_STATUS_OK)
                return r;
        *cursor = json_int(*ret, "nextCursor");
        return json_array_extend(jobs, json_object_get(*ret, "jobs")) < 0 ? ctl_oom(c) : EXIT_STATUS_OK;
}

/* All pages. The dead letters are those that failed. */
static int show_jobs(Ctl *c, const char *status) {
        static const Column columns[] = { { "ID" },      { "SANDBOX" }, { "STATUS" }, { "FAILURES", true },
                                          { "CREATED" }, { "COMMAND OR ERROR" }, {} };
        _cleanup_json_ json_t *jobs = json_array(), *reply = NULL;
        _cleanup_free_ char *encoded = NULL, *filter = NULL, *id = NULL;
        int64_t cursor = 0;
        int r = EXIT_STATUS_OK;

        if (arg_sandbox)
                r = ctl_resolve(c, arg_sandbox, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        encoded = client_encode(status ? status : "");
        filter = encoded ? ctl_path("%s%s%s%s", status ? "&status=" : "", encoded, id ? "&sandboxId=" : "", id ? id : "")
                         : NULL;
        if (!filter || !jobs)
                return ctl_oom(c);
        do {
                json_decref(reply);
                reply = NULL;
                r = add_page(c, filter, &cursor, jobs, &reply);
                if (r != EXIT_STATUS_OK)
                        return r;
        } while (cursor > 0);
        if (json_object_set(reply, "jobs", jobs) < 0)
                return ctl_oom(c);
        return rows_show(c, &(RowsView) { .reply = reply, .key = "jobs", .columns = columns, .add = add_job,
                                          .print = arg_quiet ? print_job : NULL });
}

static int queue_list(Ctl *c, _unused_ char **words) {
        return show_jobs(c, arg_status);
}

static int queue_dlq(Ctl *c, _unused_ char **words) {
        return show_jobs(c, "failed");
}

static int queue_cancel(Ctl *c, char **words) {
        STRV_FOREACH(w, words) {
                _cleanup_free_ char *path = ctl_path("/queue/%s/cancel", *w);
                int r = check_job(c, *w);

                if (r == EXIT_STATUS_OK)
                        r = ctl_request(c, *w, "POST", path, NULL, NULL);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        return EXIT_STATUS_OK;
}

static int queue_requeue(Ctl *c, char **words) {
        STRV_FOREACH(w, words) {
                _cleanup_free_ char *path = ctl_path("/queue/%s/requeue", *w);
                _cleanup_json_ json_t *job = NULL;
                int r = check_job(c, *w);

                if (r == EXIT_STATUS_OK)
                        r = ctl_request(c, *w, "POST", path, NULL, &job);
                if (r == EXIT_STATUS_OK)
                        r = show_queued(c, job);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        return EXIT_STATUS_OK;
}

static int purge(Ctl *c, const char *filter, int64_t *ret_n) {
        _cleanup_free_ char *path = ctl_path("/queue/dlq%s", filter);
        int64_t left;

        do {
                _cleanup_json_ json_t *reply = NULL;
                int r = ctl_request(c, "queue", "DELETE", path, NULL, &reply);

                if (r != EXIT_STATUS_OK)
                        return r;
                *ret_n += json_int(reply, "purged");
                left = json_int(reply, "purged") > 0 ? json_int(reply, "remaining") : 0;
        } while (left > 0);
        return EXIT_STATUS_OK;
}

static int queue_purge(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *filter = NULL;
        int64_t n = 0;
        int r = EXIT_STATUS_OK;

        if (arg_sandbox)
                r = ctl_resolve(c, arg_sandbox, &id);
        STRV_FOREACH(w, words) {
                _cleanup_free_ char *one = ctl_path("?id=%s", *w);

                if (r == EXIT_STATUS_OK)
                        r = check_job(c, *w);
                if (r == EXIT_STATUS_OK)
                        r = purge(c, one, &n);
        }
        if (r == EXIT_STATUS_OK && !words[0]) {
                filter = ctl_path("%s%s", id ? "?sandboxId=" : "", id ? id : "");
                r = purge(c, filter, &n);
        }
        if (r == EXIT_STATUS_OK)
                (void) printf(c->json ? "{\"purged\": %" PRIi64 "}\n" : "%" PRIi64 "\n", n);
        return r;
}

static const struct {
        const char *name;
        unsigned min, max;
        int (*handler)(Ctl *c, char **words);
} actions[] = {
        { "cancel",  1, WORDS_ANY, queue_cancel  }, { "dlq",    0, 0,         queue_dlq    },
        { "list",    0, 0,         queue_list    }, { "purge",  0, WORDS_ANY, queue_purge  },
        { "requeue", 1, WORDS_ANY, queue_requeue }, { "status", 1, 1,         queue_status },
        { "submit",  2, WORDS_ANY, queue_submit  },
};

int verb_queue(Ctl *c, char **words) {
        size_t n = strv_length(words + 1);

        for (size_t i = 0; i < ELEMENTSOF(actions); i++) {
                if (!streq(actions[i].name, words[0]))
                        continue;
                if (n < actions[i].min || n > actions[i].max)
                        return ctl_fail(c, EXIT_STATUS_USAGE, "too %s arguments for '%s'",
                                        n < actions[i].min ? "few" : "many", words[0]);
                return actions[i].handler(c, words + 1);
        }
        return ctl_fail(c, EXIT_STATUS_USAGE, "unknown action '%s', wanted: submit, status, list, cancel, dlq, requeue, "
                                              "purge", words[0]);
}
