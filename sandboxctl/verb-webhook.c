/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* Webhooks: who is sent which events, and what became of them. */

static const char *arg_sandbox, *arg_secret, *arg_status;
static uint64_t arg_lines = 20;

const Option webhook_options[] = {
        { 'n', "lines", "NUMBER", OPTION_UINT, &arg_lines, "So many deliveries of the last (default: 20)" },
        { 0, "sandbox", "ID", OPTION_STRING, &arg_sandbox, "Only events of this sandbox" },
        { 0, "secret", "VARIABLE", OPTION_STRING, &arg_secret, "Sign with what this variable has" },
        { 0, "status", "STATUS", OPTION_STRING, &arg_status, "pending, delivered or dead: only these" },
        {},
};

static int add_time(Table *t, int64_t msec) {
        char text[TEXT_SHORT_MAX];

        return table_add(t, msec > 0 ? text_time(msec, text) : "");
}

static char *join_topics(const json_t *item) {
        char *text = strdup("");
        json_t *topic;
        size_t i;

        json_array_foreach(json_object_get(item, "topics"), i, topic) {
                char *longer = NULL;

                if (!text || asprintf(&longer, "%s%s%s", text, i > 0 ? "," : "", json_string_value(topic) ?: "") < 0)
                        longer = NULL;
                free(text);
                text = longer;
        }
        return text;
}

/* What one wants to know first: whether it works. */
static const char *state_of(const json_t *item) {
        if (!json_is_true(json_object_get(item, "enabled")))
                return "off";
        return json_int(item, "attempts") > 0 ? "fails" : "on";
}

static int add_webhook(Table *t, const json_t *item) {
        _cleanup_free_ char *topics = join_topics(item);
        int r;

        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, state_of(item));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64, json_int(item, "delivered"));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64, json_int(item, "dead"));
        if (r >= 0)
                r = table_add(t, topics ?: "");
        return r < 0 ? r : table_add(t, json_text(item, "url"));
}

static int add_delivery(Table *t, const json_t *item) {
        int r;

        r = add_time(t, json_int(item, "timestamp"));
        if (r >= 0)
                r = table_add(t, json_text(item, "status"));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64, json_int(item, "attempts"));
        if (r >= 0)
                r = table_add(t, json_text(item, "topic"));
        if (r >= 0)
                r = table_add(t, json_text(item, "eventId"));
        return r < 0 ? r : table_add(t, json_text(item, "error"));
}

/* One request about the webhook that the word names. */
static int ask(Ctl *c, const char *method, const char *word, const char *rest, json_t *body, json_t **ret) {
        _cleanup_free_ char *encoded = client_encode(word), *path = NULL;

        if (!encoded) {
                json_decref(body);
                return ctl_oom(c);
        }
        path = ctl_path("/webhooks/%s%s", encoded, rest);
        return ctl_request(c, word, method, path, body, ret);
}

static int list(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "ID" }, { "STATE" }, { "DELIVERED", true }, { "DEAD", true }, { "TOPICS" },
                                          { "URL" }, {} };
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ctl_request(c, "webhooks", "GET", "/webhooks", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        return rows_show(c, &(RowsView) { .reply = reply, .key = "webhooks", .columns = columns, .add = add_webhook });
}

static int show(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, "GET", words[0], "", NULL, &reply);
        return r == EXIT_STATUS_OK ? ctl_print_json(c, reply) : r;
}

static int make_body(Ctl *c, char **words, json_t **ret) {
        const char *secret = arg_secret ? getenv(arg_secret) : NULL;
        _cleanup_json_ json_t *body = NULL, *topics = json_array();
        _cleanup_free_ char *id = NULL;
        int r;

        if (arg_secret && isempty(secret))
                return ctl_fail(c, EXIT_STATUS_USAGE, "the variable %s is not set", arg_secret);
        if (arg_sandbox) {
                r = ctl_resolve(c, arg_sandbox, &id);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        STRV_FOREACH(topic, words + 1)
                (void) json_array_append_new(topics, json_string(*topic));
        body = json_pack("{s:s, s:s*, s:s*}", "url", words[0], "secret", secret, "sandboxId", id);
        if (!body || (words[1] && json_object_set(body, "topics", topics) < 0))
                return ctl_fail(c, EXIT_STATUS_USAGE, "the URL or the secret is not valid UTF-8");
        *ret = TAKE_PTR(body);
        return EXIT_STATUS_OK;
}

/* The secret is shown here and never again; one that the caller has brought he knows. */
static int create(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        json_t *body = NULL;
        int r;

        r = make_body(c, words, &body);
        if (r != EXIT_STATUS_OK)
                return r;
        r = ctl_request(c, words[0], "POST", "/webhooks", body, &reply);
        if (r != EXIT_STATUS_OK || c->json)
                return r == EXIT_STATUS_OK ? ctl_print_json(c, reply) : r;
        (void) puts(json_text(reply, "id"));
        if (!arg_secret)
                (void) puts(json_text(reply, "secret"));
        return EXIT_STATUS_OK;
}

static int set_enabled(Ctl *c, const char *word, bool enabled) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, "POST", word, "", json_pack("{s:b}", "enabled", (int) enabled), &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int enable(Ctl *c, char **words) {
        return set_enabled(c, words[0], true);
}

static int disable(Ctl *c, char **words) {
        return set_enabled(c, words[0], false);
}

static int delete(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, "DELETE", words[0], "", NULL, &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int test(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, "POST", words[0], "/test", json_object(), &reply);
        if (r != EXIT_STATUS_OK || c->json)
                return r == EXIT_STATUS_OK ? ctl_print_json(c, reply) : r;
        if (json_is_true(json_object_get(reply, "delivered")))
                return EXIT_STATUS_OK;
        if (json_object_get(reply, "httpStatus"))
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: the receiver answered %" PRIi64, words[0],
                                json_int(reply, "httpStatus"));
        return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: %s", words[0], json_text(reply, "error"));
}

static int deliveries(Ctl *c, char **words) {
        static const Column columns[] = { { "TIME" }, { "STATUS" }, { "ATTEMPTS", true }, { "TOPIC" }, { "EVENT" },
                                          { "ERROR" }, {} };
        _cleanup_free_ char *status = arg_status ? client_encode(arg_status) : NULL, *rest = NULL;
        _cleanup_json_ json_t *reply = NULL;
        int r;

        if (asprintf(&rest, "/deliveries?limit=%" PRIu64 "%s%s", arg_lines, status ? "&status=" : "", status ?: "") < 0)
                return ctl_oom(c);
        r = ask(c, "GET", words[0], rest, NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        return rows_show(c, &(RowsView) { .reply = reply, .key = "deliveries", .columns = columns,
                                          .add = add_delivery });
}

int verb_webhook(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "create",     "URL [TOPIC...]", 1, 33, create     },
                { "delete",     "WEBHOOK",        1, 1,  delete     },
                { "deliveries", "WEBHOOK",        1, 1,  deliveries },
                { "disable",    "WEBHOOK",        1, 1,  disable    },
                { "enable",     "WEBHOOK",        1, 1,  enable     },
                { "list",       "",               0, 0,  list       },
                { "show",       "WEBHOOK",        1, 1,  show       },
                { "test",       "WEBHOOK",        1, 1,  test       },
                {},
        };

        return subverb_run(c, table, words);
}
