/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* What happened: events, the requests of late, and the figures that count them. */

static bool arg_follow, arg_prometheus;
static const char *arg_topic, *arg_function;
static uint64_t arg_events = 20, arg_traces = 20;

const Option events_options[] = {
        { 'f', "follow", NULL, OPTION_FLAG, &arg_follow, "Show them as they happen" },
        { 'n', "lines", "NUMBER", OPTION_UINT, &arg_events, "So many of the last (default: 20)" },
        { 't', "topic", "TOPIC", OPTION_STRING, &arg_topic, "Only with this topic" },
        {},
};

const Option trace_options[] = {
        { 0, "function", "NAME", OPTION_STRING, &arg_function, "Only of this function" },
        { 'n', "lines", "NUMBER", OPTION_UINT, &arg_traces, "So many of the last (default: 20)" },
        {},
};

const Option metrics_options[] = {
        { 0, "prometheus", NULL, OPTION_FLAG, &arg_prometheus, "As text for Prometheus" },
        {},
};

/* "?limit=20&sandboxId=...&topic=...": of a sandbox that is gone, too, when it is named by its whole id. */
static int make_query(Ctl *c, const char *word, const char *key, const char *value, uint64_t limit, char **ret) {
        _cleanup_free_ char *id = NULL, *encoded = NULL;
        int r;

        if (word && object_id_is_valid(word, "sbx"))
                id = strdup(word);
        else if (word) {
                r = ctl_resolve(c, word, &id);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        if (value)
                encoded = client_encode(value);
        if ((word && !id) || (value && !encoded) ||
            asprintf(ret, "?limit=%" PRIu64 "%s%s%s%s%s%s", limit, id ? "&sandboxId=" : "", id ? id : "",
                     encoded ? "&" : "", encoded ? key : "", encoded ? "=" : "", encoded ? encoded : "") < 0)
                return ctl_oom(c);
        return EXIT_STATUS_OK;
}

/* The few words of its data that say most. */
static char *event_summary(const json_t *event) {
        static const char *const keys[] = { "command", "exitCode", "error", "reason", "name", NULL };
        const json_t *data = json_object_get(event, "data");
        char *text = NULL;

        for (const char *const *key = keys; *key; key++) {
                const json_t *value = json_object_get(data, *key);
                _cleanup_free_ char *word = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
                char *longer;

                if (!word || asprintf(&longer, "%s%s%s=%s", text ? text : "", text ? " " : "", *key, word) < 0)
                        continue;
                free(text);
                text = longer;
        }
        return text;
}

static int add_event(Table *t, const json_t *event) {
        _cleanup_free_ char *summary = event_summary(event);
        char when[TEXT_SHORT_MAX];
        int r;

        r = table_add(t, text_time(json_int(event, "timestamp"), when));
        if (r >= 0)
                r = table_add(t, json_text(event, "topic"));
        if (r >= 0)
                r = table_add(t, json_text(event, "sandboxId"));
        return r < 0 ? r : table_add(t, summary ? summary : "");
}

static int on_event(const json_t *event, void *userdata) {
        _cleanup_free_ char *summary = NULL, *line = NULL, *safe = NULL;
        const Ctl *c = userdata;
        char when[TEXT_SHORT_MAX];

        if (c->json)
                return ctl_print_json_line(event);
        summary = event_summary(event);
        if (asprintf(&line, "%s  %s  %s  %s", text_time(json_int(event, "timestamp"), when),
                     json_text(event, "topic"), json_text(event, "sandboxId"), summary ? summary : "") < 0)
                return -ENOMEM;
        safe = text_escape(line, strlen(line));
        return safe && puts(safe) != EOF && fflush(stdout) != EOF ? 0 : -EIO;
}

int verb_events(Ctl *c, char **words) {
        static const Column columns[] = { { "TIME" }, { "TOPIC" }, { "SANDBOX" }, { "WHAT" }, {} };
        _cleanup_free_ char *query = NULL, *path = NULL;
        int r;

        r = make_query(c, words[0], "topic", arg_topic, arg_events, &query);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/%s%s", arg_follow ? "stream/events" : "events/history", query);
        if (arg_follow)
                return ctl_stream(c, "events", path, on_event);
        return rows_get(c, "events", path, &(RowsView) { .key = "events", .columns = columns, .add = add_event });
}

static int add_trace(Table *t, const json_t *trace) {
        char when[TEXT_SHORT_MAX];
        int r;

        r = table_add(t, text_time(json_int(trace, "timestamp"), when));
        if (r >= 0)
                r = table_add(t, json_text(trace, "functionId"));
        if (r >= 0)
                r = table_addf(t, "%.1f", json_number_value(json_object_get(trace, "duration")));
        if (r >= 0)
                r = table_add(t, json_text(trace, "status"));
        if (r >= 0)
                r = table_add(t, json_text(trace, "sandboxId"));
        return r < 0 ? r : table_add(t, json_text(trace, "error"));
}

int verb_trace(Ctl *c, char **words) {
        static const Column columns[] = { { "TIME" }, { "FUNCTION" }, { "MSEC", true }, { "STATUS" }, { "SANDBOX" },
                                          { "ERROR" }, {} };
        _cleanup_free_ char *query = NULL, *path = NULL;
        int r;

        r = make_query(c, words[0], "functionId", arg_function, arg_traces, &query);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/observability/traces%s", query);
        return rows_get(c, "traces", path, &(RowsView) { .key = "traces", .columns = columns, .add = add_trace });
}

static int on_text(const char *data, size_t n, void *userdata) {
        (void) userdata;
        return fwrite(data, 1, n, stdout) == n ? 0 : -EIO;
}

static int show_text(Ctl *c) {
        return ctl_receive(c, "metrics", &(TransferSpec) { .method = "GET", .path = "/metrics/prometheus",
                                                           .accept = "text/plain", .sink = on_text });
}

/* Names and values, one a line. */
static int print_members(Ctl *c, const json_t *object) {
        static const Column columns[] = { { "FIGURE" }, { "VALUE", true }, {} };
        _cleanup_(table_freep) Table *t = table_new(columns);
        const char *key;
        json_t *value;

        if (!t)
                return ctl_oom(c);
        json_object_foreach((json_t *) object, key, value) {
                _cleanup_free_ char *text = json_is_string(value)
                                                    ? strdup(json_string_value(value))
                                                    : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(4));

                if (!text || table_add(t, key) < 0 || table_add(t, text) < 0)
                        return ctl_oom(c);
        }
        table_show(t, c->out);
        return EXIT_STATUS_OK;
}

int verb_metrics(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        _cleanup_json_ json_t *reply = NULL;
        int r;

        if (arg_prometheus)
                return show_text(c);
        if (words[0]) {
                r = ctl_resolve(c, words[0], &id);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        path = id ? ctl_path("/sandboxes/%s/metrics", id) : ctl_path("/metrics");
        r = ctl_request(c, id ? id : "metrics", "GET", path, NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        return c->json ? ctl_print_json(c, reply) : print_members(c, reply);
}
