/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/verbs-table.h"

/* Networks by name or id: the server's routes know ids, so a name is looked up in the list. */

static int add_network(Table *t, const json_t *item) {
        int r;

        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, json_text(item, "name"));
        return r < 0 ? r : table_addf(t, "%zu", json_array_size(json_object_get(item, "sandboxes")));
}

static int list(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "ID" }, { "NAME" }, { "MEMBERS", true }, {} };

        return rows_get(c, "networks", "/networks",
                        &(RowsView) { .key = "networks", .columns = columns, .add = add_network });
}

static int find(Ctl *c, const char *word, json_t **ret) {
        _cleanup_json_ json_t *reply = NULL;
        json_t *item;
        size_t i;
        int r;

        r = ctl_request(c, "networks", "GET", "/networks", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        json_array_foreach(json_object_get(reply, "networks"), i, item)
                if (streq(json_text(item, "id"), word) || streq(json_text(item, "name"), word)) {
                        *ret = json_incref(item);
                        return EXIT_STATUS_OK;
                }
        return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: no network has this id or name", word);
}

static int show(Ctl *c, char **words) {
        _cleanup_json_ json_t *network = NULL;
        int r;

        r = find(c, words[0], &network);
        return r == EXIT_STATUS_OK ? ctl_print_json(c, network) : r;
}

static int create(Ctl *c, char **words) {
        return ctl_create(c, words[0], "/networks", json_pack("{s:s}", "name", words[0]));
}

static int delete(Ctl *c, char **words) {
        _cleanup_json_ json_t *network = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = find(c, words[0], &network);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/networks/%s", json_text(network, "id"));
        return ctl_delete(c, words[0], path);
}

static int change(Ctl *c, char **words, const char *verb) {
        _cleanup_json_ json_t *network = NULL, *reply = NULL;
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        r = find(c, words[0], &network);
        if (r == EXIT_STATUS_OK)
                r = ctl_resolve(c, words[1], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/networks/%s/%s", json_text(network, "id"), verb);
        r = ctl_request(c, words[1], "POST", path, json_pack("{s:s}", "sandboxId", id), &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int connect_sandbox(Ctl *c, char **words) {
        return change(c, words, "connect");
}

static int disconnect_sandbox(Ctl *c, char **words) {
        return change(c, words, "disconnect");
}

int verb_network(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "connect",    "NETWORK ID", 2, 2, connect_sandbox    },
                { "create",     "NAME",       1, 1, create             },
                { "delete",     "NETWORK",    1, 1, delete             },
                { "disconnect", "NETWORK ID", 2, 2, disconnect_sandbox },
                { "list",       "",           0, 0, list               },
                { "show",       "NETWORK",    1, 1, show               },
                {},
        };

        return subverb_run(c, table, words);
}
