/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* Sandboxes that begin as others are, or were. What is made is printed as ids and nothing else, for the next command. */

static const char *arg_name;

const Option clone_options[] = {
        { 'n', "name", "NAME", OPTION_STRING, &arg_name, "Name of what is made, instead of its id" },
        {},
};

static json_t *name_body(void) {
        return arg_name ? json_pack("{s:s}", "name", arg_name) : json_object();
}

/* POST below a sandbox; the id of what is made is printed. */
static int create_below(Ctl *c, const char *word, const char *suffix) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        json_t *body = name_body();
        int r;

        if (!body)
                return ctl_fail(c, EXIT_STATUS_USAGE, "the name is not valid UTF-8");
        r = ctl_resolve(c, word, &id);
        if (r != EXIT_STATUS_OK) {
                json_decref(body);
                return r;
        }
        path = ctl_path("/sandboxes/%s%s", id, suffix);
        return ctl_create(c, id, path, body);
}

int verb_clone(Ctl *c, char **words) {
        return create_below(c, words[0], "/clone");
}

int verb_fork(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        _cleanup_json_ json_t *reply = NULL;
        json_t *body, *item;
        uint32_t count;
        size_t i;
        int r;

        if (parse_u32(words[1], &count) < 0)
                return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is no number of sandboxes", words[1]);
        r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        body = json_pack("{s:I, s:s*}", "count", (json_int_t) count, "name", arg_name);
        if (!body)
                return ctl_fail(c, EXIT_STATUS_USAGE, "the name is not valid UTF-8");
        path = ctl_path("/sandboxes/%s/fork", id);
        r = ctl_request(c, id, "POST", path, body, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        json_array_foreach(json_object_get(reply, "sandboxes"), i, item)
                if (object_id_is_valid(json_text(item, "id"), "sbx"))
                        (void) puts(json_text(item, "id"));
        return EXIT_STATUS_OK;
}

/* Those of other sandboxes are known by their ids only. */
static int resolve_snapshot(Ctl *c, const char *id, const char *word, char **ret) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/snapshots", id);
        _cleanup_json_ json_t *reply = NULL;
        const char *found = word;
        unsigned n = 0;
        json_t *item;
        size_t i;
        int r;

        if (!object_id_is_valid(word, "snap")) {
                r = ctl_request(c, id, "GET", path, NULL, &reply);
                if (r != EXIT_STATUS_OK)
                        return r;
                json_array_foreach(json_object_get(reply, "snapshots"), i, item)
                        if (streq(json_text(item, "name"), word)) {
                                found = json_text(item, "id");
                                n++;
                        }
                if (n == 0)
                        return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: no snapshot of %s has this id or name", word, id);
                if (n > 1)
                        return ctl_fail(c, EXIT_STATUS_CONFLICT, "%s: %u snapshots have this name, %s is one; "
                                        "see sandboxctl snapshot list", word, n, found);
        }
        *ret = strdup(found);
        return *ret ? EXIT_STATUS_OK : ctl_oom(c);
}

int verb_restore(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL, *path = NULL, *snapshot = NULL;
        _cleanup_json_ json_t *reply = NULL;
        json_t *body;
        int r;

        r = ctl_resolve(c, words[0], &id);
        if (r == EXIT_STATUS_OK)
                r = resolve_snapshot(c, id, words[1], &snapshot);
        if (r != EXIT_STATUS_OK)
                return r;
        body = json_pack("{s:s}", "snapshotId", snapshot);
        if (!body)
                return ctl_oom(c);
        path = ctl_path("/sandboxes/%s/snapshots/restore", id);
        r = ctl_request(c, id, "POST", path, body, &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int create(Ctl *c, char **words) {
        return create_below(c, words[0], "/snapshots");
}

static int add_snapshot(Table *t, const json_t *item) {
        char created[TEXT_SHORT_MAX], size[TEXT_SHORT_MAX];
        int r;

        text_relative(json_int(item, "createdAt"), now_msec(), created);
        text_size((uint64_t) MAX(json_int(item, "size"), 0), size);
        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, json_text(item, "name"));
        if (r >= 0)
                r = table_add(t, size);
        return r < 0 ? r : table_add(t, created);
}

static int list(Ctl *c, char **words) {
        static const Column columns[] = { { "ID" }, { "NAME" }, { "SIZE" }, { "CREATED" }, {} };
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        /* A snapshot outlives its sandbox, whose id the server still knows it by. */
        if (object_id_is_valid(words[0], "sbx"))
                id = strdup(words[0]);
        r = id ? EXIT_STATUS_OK : ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/snapshots", id);
        return rows_get(c, id, path, &(RowsView) { .key = "snapshots", .columns = columns, .add = add_snapshot });
}

static int snapshot_path(Ctl *c, const char *id, const char *suffix, char **ret) {
        if (!object_id_is_valid(id, "snap"))
                return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is no id of a snapshot, see sandboxctl snapshot list", id);
        *ret = ctl_path("/snapshots/%s%s", id, suffix);
        return EXIT_STATUS_OK;
}

static int clone(Ctl *c, char **words) {
        _cleanup_free_ char *path = NULL;
        json_t *body;
        int r;

        r = snapshot_path(c, words[0], "/clone", &path);
        if (r != EXIT_STATUS_OK)
                return r;
        body = name_body();
        return body ? ctl_create(c, words[0], path, body)
                    : ctl_fail(c, EXIT_STATUS_USAGE, "the name is not valid UTF-8");
}

static int delete(Ctl *c, char **words) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = snapshot_path(c, words[0], "", &path);
        return r == EXIT_STATUS_OK ? ctl_delete(c, words[0], path) : r;
}

int verb_snapshot(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "clone",  "SNAPSHOT", 1, 1, clone  },
                { "create", "ID",       1, 1, create },
                { "delete", "SNAPSHOT", 1, 1, delete },
                { "list",   "ID",       1, 1, list   },
                {},
        };

        return subverb_run(c, table, words);
}
