/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/exec-stream.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"
#include "sandboxctl/watch.h"

/* What a sandbox does at this moment: the output of its commands and its processes. */

#define POLL_FIRST_MSEC 100U
#define POLL_LAST_MSEC 1000U

static bool arg_follow, arg_long, arg_quiet;
static uint64_t arg_tail = UINT64_MAX;

const Option logs_options[] = {
        { 'f', "follow", NULL, OPTION_FLAG, &arg_follow, "Go on until the command or sandbox ends" },
        { 'n', "tail", "LINES", OPTION_UINT, &arg_tail, "Of a sandbox: begin with the last lines" },
        {},
};

const Option ps_options[] = {
        { 'l', "long", NULL, OPTION_FLAG, &arg_long, "With the memory of each process" },
        { 'q', "quiet", NULL, OPTION_FLAG, &arg_quiet, "Print process ids only" },
        WATCH_OPTION,
        {},
};

/* Output from *cursor on. *ret_n: whether there was any. */
static int read_background(Ctl *c, const char *id, int64_t *cursor, bool *ret_more) {
        _cleanup_free_ char *path = ctl_path("/exec/background/%s/logs?cursor=%" PRIi64 "&binary=1", id, *cursor);
        _cleanup_json_ json_t *reply = NULL;
        int64_t next;
        int r;

        r = ctl_request(c, id, "GET", path, NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        next = json_int(reply, "cursor");
        *ret_more = next > *cursor;
        *cursor = next;
        if (c->json)
                return ctl_print_json(c, reply);
        r = output_event_write(reply, "output", STDOUT_FILENO);
        if (r == -EBADMSG)
                return ctl_fail(c, EXIT_STATUS_SERVER, "%s: the answer has no output", id);
        return r < 0 ? ctl_fail(c, EXIT_STATUS_FAILURE, "failed to write: %s", strerror(-r)) : EXIT_STATUS_OK;
}

static int background_is_running(Ctl *c, const char *id, bool *ret) {
        _cleanup_free_ char *path = ctl_path("/exec/background/%s/status", id);
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ctl_request(c, id, "GET", path, NULL, &reply);
        if (r == EXIT_STATUS_OK)
                *ret = json_is_true(json_object_get(reply, "running"));
        return r;
}

/* The API has no way to wait for a background command's output, so we ask: often while it talks, else once a second.
 * Whether it runs is asked before its output is read, so that its last words are not missed. */
static int logs_background(Ctl *c, const char *id) {
        unsigned pause_msec = POLL_FIRST_MSEC;
        bool running = true, more = false;
        int64_t cursor = 0;
        int r;

        for (;;) {
                struct timespec ts;

                r = arg_follow ? background_is_running(c, id, &running) : EXIT_STATUS_OK;
                if (r == EXIT_STATUS_OK)
                        r = read_background(c, id, &cursor, &more);
                if (r != EXIT_STATUS_OK || (!more && (!arg_follow || !running)))
                        return r;
                if (more) {
                        pause_msec = POLL_FIRST_MSEC;
                        continue;
                }
                ts = (struct timespec) { .tv_sec = pause_msec / 1000, .tv_nsec = pause_msec % 1000 * 1000000 };
                (void) nanosleep(&ts, NULL);
                pause_msec = MIN(pause_msec * 2, POLL_LAST_MSEC);
        }
}

static int on_log_event(const json_t *event, void *userdata) {
        const Ctl *c = userdata;
        const char *type = json_text(event, "type");

        if (c->json)
                return ctl_print_json_line(event);
        if (streq(type, "end"))
                return 0;
        return output_event_write(event, "data", streq(type, "stderr") ? STDERR_FILENO : STDOUT_FILENO);
}

static int logs_sandbox(Ctl *c, const char *word) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        char tail[40] = "";
        int r;

        r = ctl_resolve(c, word, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        if (arg_tail != UINT64_MAX)
                (void) snprintf(tail, sizeof tail, "&tail=%" PRIu64, arg_tail);
        path = ctl_path("/sandboxes/%s/stream/logs?binary=1&follow=%s%s", id, arg_follow ? "true" : "false", tail);
        return ctl_stream(c, id, path, on_log_event);
}

int verb_logs(Ctl *c, char **words) {
        return object_id_is_valid(words[0], "bg") ? logs_background(c, words[0]) : logs_sandbox(c, words[0]);
}

/* What each of the two forms of ps shows. */
static const char *const short_keys[] = { "user", "cpu", "memory", "command", NULL };
static const char *const long_keys[] = { "cpu", "mem", "rss", "vsz", "command", NULL };

static int add_process(Table *t, const json_t *p) {
        int r = table_addf(t, "%" PRIi64, json_int(p, "pid"));

        for (const char *const *key = arg_long ? long_keys : short_keys; r >= 0 && *key; key++) {
                const json_t *value = json_object_get(p, *key);
                char text[TEXT_SHORT_MAX];

                /* The API counts memory in KiB. */
                r = table_add(t, json_is_integer(value)
                                         ? text_size((uint64_t) MAX(json_integer_value(value), 0) * KiB, text)
                                         : json_text(p, *key));
        }
        return r;
}

static void print_pid(FILE *f, const json_t *process) {
        (void) fprintf(f, "%" PRIi64 "\n", json_int(process, "pid"));
}

static int show_processes(Ctl *c, char **words) {
        static const Column short_columns[] = { { "PID", true },  { "USER" },    { "CPU", true },
                                                { "MEM", true }, { "COMMAND" }, {} };
        static const Column long_columns[] = { { "PID", true },  { "CPU", true }, { "MEM", true },
                                               { "RSS", true }, { "VSZ", true }, { "COMMAND" }, {} };
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/processes%s", id, arg_long ? "/top" : "");
        return rows_get(c, id, path, &(RowsView) { .key = "processes", .add = add_process,
                                                   .columns = arg_long ? long_columns : short_columns,
                                                   .print = arg_quiet ? print_pid : NULL });
}

int verb_ps(Ctl *c, char **words) {
        return watch_run(c, words, show_processes);
}
