/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* Alerts of a sandbox, and the workers that there are. What a metric, an action or a worker is, the server knows. */

static int add_time(Table *t, int64_t msec) {
        char text[TEXT_SHORT_MAX];

        return table_add(t, msec > 0 ? text_time(msec, text) : "");
}

static int add_number(Table *t, const json_t *item, const char *key) {
        return table_addf(t, "%g", json_number_value(json_object_get(item, key)));
}

static int set(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        double threshold;
        char *end;
        int r;

        threshold = strtod(words[2], &end);
        if (*end || end == words[2])
                return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not a number", words[2]);
        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/alerts", id);
        return ctl_create(c, id, path, json_pack("{s:s, s:f, s:s*}", "metric", words[1], "threshold", threshold,
                                                 "action", words[3]));
}

static int add_alert(Table *t, const json_t *item) {
        int r;

        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, json_text(item, "metric"));
        if (r >= 0)
                r = add_number(t, item, "threshold");
        if (r >= 0)
                r = table_add(t, json_text(item, "action"));
        if (r >= 0)
                r = table_add(t, json_is_true(json_object_get(item, "triggered")) ? "yes" : "no");
        return r < 0 ? r : add_time(t, json_int(item, "lastTriggered"));
}

static int add_event(Table *t, const json_t *item) {
        int r;

        r = add_time(t, json_int(item, "timestamp"));
        if (r >= 0)
                r = table_add(t, json_text(item, "metric"));
        if (r >= 0)
                r = add_number(t, item, "value");
        if (r >= 0)
                r = add_number(t, item, "threshold");
        if (r >= 0)
                r = table_add(t, json_text(item, "action"));
        return r < 0 ? r : table_add(t, json_text(item, "alertId"));
}

static int show_rows(Ctl *c, const char *word, const char *rest, const RowsView *view) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        r = ctl_resolve(c, word, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/alerts%s", id, rest);
        return rows_get(c, id, path, view);
}

static int list(Ctl *c, char **words) {
        static const Column columns[] = { { "ID" }, { "METRIC" }, { "THRESHOLD", true }, { "ACTION" }, { "TRIGGERED" },
                                          { "LAST" }, {} };

        return show_rows(c, words[0], "", &(RowsView) { .key = "alerts", .columns = columns, .add = add_alert });
}

static int history(Ctl *c, char **words) {
        static const Column columns[] = { { "TIME" }, { "METRIC" }, { "VALUE", true }, { "THRESHOLD", true },
                                          { "ACTION" }, { "ALERT" }, {} };

        return show_rows(c, words[0], "/history", &(RowsView) { .key = "events", .columns = columns, .add = add_event });
}

static int delete(Ctl *c, char **words) {
        _cleanup_free_ char *word = client_encode(words[0]), *path = NULL;

        if (!word)
                return ctl_oom(c);
        path = ctl_path("/alerts/%s", word);
        return ctl_delete(c, words[0], path);
}

int verb_alert(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "delete",  "ALERT",                        1, 1, delete  },
                { "history", "ID",                           1, 1, history },
                { "list",    "ID",                           1, 1, list    },
                { "set",     "ID METRIC THRESHOLD [ACTION]", 3, 4, set     },
                {},
        };

        return subverb_run(c, table, words);
}

static int add_worker(Table *t, const json_t *item) {
        int r;

        r = table_add(t, json_text(item, "workerId"));
        if (r >= 0)
                r = table_add(t, json_text(item, "hostname"));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64, json_int(item, "activeSandboxes"));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64, json_int(item, "maxSandboxes"));
        if (r >= 0)
                r = add_number(t, item, "cpuPercent");
        return r < 0 ? r : add_time(t, json_int(item, "lastHeartbeat"));
}

static int list_workers(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "WORKER" }, { "HOST" }, { "ACTIVE", true }, { "MOST", true },
                                          { "CPU%", true }, { "HEARTBEAT" }, {} };

        return rows_get(c, "workers", "/workers",
                        &(RowsView) { .key = "workers", .columns = columns, .add = add_worker });
}

/* The three that change or choose are one request each, and their answer is a few numbers. */
static int ask(Ctl *c, const char *path) {
        _cleanup_json_ json_t *reply = NULL;
        const char *key;
        json_t *value;
        int r;

        r = ctl_request(c, "workers", "POST", path, NULL, &reply);
        if (r != EXIT_STATUS_OK || c->json)
                return r == EXIT_STATUS_OK ? ctl_print_json(c, reply) : r;
        json_object_foreach(reply, key, value) {
                _cleanup_free_ char *safe = NULL;

                if (json_is_string(value)) {
                        safe = text_escape(json_string_value(value), json_string_length(value));
                        (void) puts(safe ? safe : "");
                } else
                        (void) printf("%s: %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
        }
        return EXIT_STATUS_OK;
}

static int migrate(Ctl *c, _unused_ char **words) {
        return ask(c, "/workers/migrate");
}

static int reap(Ctl *c, _unused_ char **words) {
        return ask(c, "/workers/reap");
}

static int choose(Ctl *c, _unused_ char **words) {
        return ask(c, "/workers/select");
}

int verb_worker(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "list",    "", 0, 0, list_workers },
                { "migrate", "", 0, 0, migrate      },
                { "reap",    "", 0, 0, reap         },
                { "select",  "", 0, 0, choose       },
                {},
        };

        return subverb_run(c, table, words);
}
