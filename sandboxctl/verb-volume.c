/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* Volumes by id, or by a name that only one has: the server's routes know ids. */

static const char *arg_size;
static bool arg_read_only;

const Option volume_options[] = {
        { 's', "size", "SIZE", OPTION_STRING, &arg_size, "How much a new volume may hold, with K, M, G or T" },
        { 'r', "read-only", NULL, OPTION_FLAG, &arg_read_only, "Nothing can be written where it is attached" },
        {},
};

static int find(Ctl *c, const char *word, json_t **ret) {
        _cleanup_json_ json_t *reply = NULL, *found = NULL;
        json_t *item;
        size_t i;
        int r;

        r = ctl_request(c, "volumes", "GET", "/volumes", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        json_array_foreach(json_object_get(reply, "volumes"), i, item) {
                if (streq(json_text(item, "id"), word)) {
                        *ret = json_incref(item);
                        return EXIT_STATUS_OK;
                }
                if (!streq(json_text(item, "name"), word))
                        continue;
                if (found)
                        return ctl_fail(c, EXIT_STATUS_CONFLICT, "%s: several volumes have this name, say which id", word);
                found = json_incref(item);
        }
        if (!found)
                return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: no volume has this id or name", word);
        *ret = json_incref(found);
        return EXIT_STATUS_OK;
}

/* One request about one volume; rest is what follows its id in the path. Takes body over. */
static int ask(Ctl *c, const char *word, const char *method, const char *rest, json_t *body, json_t **ret_reply) {
        _cleanup_json_ json_t *volume = NULL, *owned = body;
        _cleanup_free_ char *path = NULL;
        int r;

        r = find(c, word, &volume);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/volumes/%s%s", json_text(volume, "id"), rest);
        return ctl_request(c, word, method, path, json_incref(owned), ret_reply);
}

/* Of what changes something: silence is success. */
static int change(Ctl *c, const char *word, const char *method, const char *rest, json_t *body) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, word, method, rest, body, &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int attach(Ctl *c, char **words) {
        _cleanup_free_ char *id = NULL;
        json_t *body;
        int r;

        r = ctl_resolve(c, words[1], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        body = json_pack("{s:s, s:s, s:b}", "sandboxId", id, "mountPath", words[2], "readOnly", (int) arg_read_only);
        if (!body)
                return ctl_fail(c, EXIT_STATUS_USAGE, "the path is not valid UTF-8");
        return change(c, words[0], "POST", "/attach", body);
}

static int create(Ctl *c, char **words) {
        json_t *body = json_pack("{s:s, s:s*}", "name", words[0], "size", arg_size);

        if (!body)
                return ctl_fail(c, EXIT_STATUS_USAGE, "the name is not valid UTF-8");
        return ctl_create(c, words[0], "/volumes", body);
}

static int delete(Ctl *c, char **words) {
        return change(c, words[0], "DELETE", "", NULL);
}

static int detach(Ctl *c, char **words) {
        return change(c, words[0], "POST", "/detach", json_object());
}

static int add_volume(Table *t, const json_t *item) {
        char size[TEXT_SHORT_MAX];
        int r;

        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, json_text(item, "name"));
        if (r >= 0)
                r = table_add(t, json_object_get(item, "size") ? text_size((uint64_t) json_int(item, "size"), size) : "");
        if (r >= 0)
                r = table_add(t, json_text(item, "sandboxId"));
        return r < 0 ? r : table_add(t, json_text(item, "mountPath"));
}

static int list(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "ID" }, { "NAME" }, { "SIZE", true }, { "SANDBOX" }, { "PATH" }, {} };

        return rows_get(c, "volumes", "/volumes",
                        &(RowsView) { .key = "volumes", .columns = columns, .add = add_volume });
}

static int show(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, words[0], "GET", "", NULL, &reply);
        return r == EXIT_STATUS_OK ? ctl_print_json(c, reply) : r;
}

int verb_volume(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "attach", "VOLUME ID PATH", 3, 3, attach },
                { "create", "NAME",           1, 1, create },
                { "delete", "VOLUME",         1, 1, delete },
                { "detach", "VOLUME",         1, 1, detach },
                { "list",   "",               0, 0, list   },
                { "show",   "VOLUME",         1, 1, show   },
                {},
        };

        return subverb_run(c, table, words);
}
