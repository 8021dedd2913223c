/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/verbs-table.h"

/* What a sandbox may reach. The server has one list, which is replaced as a whole; adding to it and taking from it are
 * made of what it says that the list is. */

static int ask(Ctl *c, const char *word, const char *method, json_t *body, json_t **ret) {
        _cleanup_json_ json_t *owned = body;
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        r = ctl_resolve(c, word, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/egress", id);
        return ctl_request(c, id, method, path, TAKE_PTR(owned), ret);
}

/* Takes list over; NULL: everything may be reached. */
static int put(Ctl *c, const char *word, json_t *list) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, word, "PUT", json_pack("{s:o?}", "allow", list), &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static bool has(const json_t *list, const char *entry) {
        const json_t *value;
        size_t i;

        json_array_foreach((json_t *) list, i, value)
                if (streq_ptr(json_string_value(value), entry))
                        return true;
        return false;
}

static int add(Ctl *c, json_t *list, char **words) {
        for (; *words; words++)
                if (!has(list, *words) && json_array_append_new(list, json_string(*words)) < 0)
                        return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not valid UTF-8", *words);
        return EXIT_STATUS_OK;
}

static int set(Ctl *c, char **words) {
        _cleanup_json_ json_t *list = json_array();
        int r;

        r = add(c, list, words + 1);
        return r == EXIT_STATUS_OK ? put(c, words[0], TAKE_PTR(list)) : r;
}

/* To one that may reach everything there is nothing to be added. */
static int get_list(Ctl *c, const char *word, json_t **ret) {
        _cleanup_json_ json_t *reply = NULL;
        json_t *list;
        int r;

        r = ask(c, word, "GET", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        list = json_object_get(reply, "allow");
        if (!json_is_array(list))
                return ctl_fail(c, EXIT_STATUS_USAGE, "%s has no list and may reach everything; see: egress set", word);
        *ret = json_deep_copy(list);
        return EXIT_STATUS_OK;
}

static int allow(Ctl *c, char **words) {
        _cleanup_json_ json_t *list = NULL;
        int r;

        r = get_list(c, words[0], &list);
        if (r == EXIT_STATUS_OK)
                r = add(c, list, words + 1);
        return r == EXIT_STATUS_OK ? put(c, words[0], TAKE_PTR(list)) : r;
}

static int remove_entries(Ctl *c, char **words) {
        _cleanup_json_ json_t *list = NULL;
        int r;

        r = get_list(c, words[0], &list);
        if (r != EXIT_STATUS_OK)
                return r;
        for (char **word = words + 1; *word; word++) {
                if (!has(list, *word))
                        return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: not on the list of %s", *word, words[0]);
                for (size_t i = json_array_size(list); i > 0; i--)
                        if (streq_ptr(json_string_value(json_array_get(list, i - 1)), *word))
                                (void) json_array_remove(list, i - 1);
        }
        return put(c, words[0], TAKE_PTR(list));
}

static int open_all(Ctl *c, char **words) {
        return put(c, words[0], NULL);
}

static int show(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        const json_t *value;
        size_t i;
        int r;

        r = ask(c, words[0], "GET", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        if (streq(json_text(reply, "mode"), "all"))
                (void) fputs("everything\n", c->out);
        json_array_foreach(json_object_get(reply, "allow"), i, value)
                (void) fprintf(c->out, "%s\n", json_string_value(value) ?: "");
        return EXIT_STATUS_OK;
}

/* Others as RFC 3597 writes them. */
static int add_question(Table *t, const json_t *item) {
        const char *name = json_text(item, "name");

        switch (json_int(item, "type")) {
        case 1:
                return table_addf(t, "%s A", name);
        case 28:
                return table_addf(t, "%s AAAA", name);
        default:
                return table_addf(t, "%s TYPE%" PRIi64, name, json_int(item, "type"));
        }
}

static int add_decision(Table *t, const json_t *item) {
        bool name = streq(json_text(item, "kind"), "name");
        int r;

        r = table_add(t, json_text(item, "decision"));
        if (r >= 0)
                r = table_add(t, json_text(item, "kind"));
        if (r >= 0 && name)
                r = add_question(t, item);
        else if (r >= 0)
                r = table_addf(t, "%s:%" PRIi64 "/%s", json_text(item, "address"), json_int(item, "port"),
                               json_text(item, "protocol"));
        return r < 0 ? r : table_addf(t, "%" PRIi64, json_int(item, "count"));
}

static int show_log(Ctl *c, char **words) {
        static const Column columns[] = { { "DECISION" }, { "KIND" }, { "TARGET" }, { "COUNT", true }, {} };
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, words[0], "GET", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        return rows_show(c, &(RowsView) { .reply = reply, .key = "recent", .columns = columns, .add = add_decision });
}

int verb_egress(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "allow",  "ID ENTRY...",   2, WORDS_ANY, allow          },
                { "log",    "ID",            1, 1,         show_log       },
                { "open",   "ID",            1, 1,         open_all       },
                { "remove", "ID ENTRY...",   2, WORDS_ANY, remove_entries },
                { "set",    "ID [ENTRY...]", 1, WORDS_ANY, set            },
                { "show",   "ID",            1, 1,         show           },
                {},
        };

        return subverb_run(c, table, words);
}
