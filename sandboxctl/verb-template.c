/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/verbs-table.h"

/* Templates by name or id: the server's routes know ids, so a name is looked up in the list. */

static SandboxArguments arg_sandbox = SANDBOX_ARGUMENTS_DEFAULT;
static const char *arg_description;

const Option template_options[] = {
        SANDBOX_OPTIONS(arg_sandbox),
        { 't', "timeout", "SECONDS", OPTION_SECONDS, &arg_sandbox.timeout_sec, "How long sandboxes of it live" },
        { 'd', "description", "TEXT", OPTION_STRING, &arg_description, "What it is for" },
        {},
};

static int add_template(Table *t, const json_t *item) {
        const json_t *config = json_object_get(item, "config");
        int r;

        r = table_add(t, json_text(item, "id"));
        if (r >= 0)
                r = table_add(t, json_text(item, "name"));
        if (r >= 0)
                r = table_add(t, json_text(config, "image"));
        if (r >= 0)
                r = table_add(t, json_text(item, "description"));
        return r;
}

static int list(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "ID" }, { "NAME" }, { "IMAGE" }, { "DESCRIPTION" }, {} };

        return rows_get(c, "templates", "/templates",
                        &(RowsView) { .key = "templates", .columns = columns, .add = add_template });
}

static int find(Ctl *c, const char *word, json_t **ret) {
        _cleanup_json_ json_t *reply = NULL;
        json_t *item;
        size_t i;
        int r;

        r = ctl_request(c, "templates", "GET", "/templates", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        json_array_foreach(json_object_get(reply, "templates"), i, item)
                if (streq(json_text(item, "id"), word) || streq(json_text(item, "name"), word)) {
                        *ret = json_incref(item);
                        return EXIT_STATUS_OK;
                }
        return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: no template has this id or name", word);
}

static int show(Ctl *c, char **words) {
        _cleanup_json_ json_t *template = NULL;
        int r;

        r = find(c, words[0], &template);
        return r == EXIT_STATUS_OK ? ctl_print_json(c, template) : r;
}

static int create(Ctl *c, char **words) {
        _cleanup_json_ json_t *config = NULL;
        json_t *body;
        int r;

        r = sandbox_arguments_to_json(c, words[1], &arg_sandbox, &config);
        if (r != EXIT_STATUS_OK)
                return r;
        body = json_pack("{s:s, s:O, s:s*}", "name", words[0], "config", config, "description", arg_description);
        if (!body)
                return ctl_fail(c, EXIT_STATUS_USAGE, "the name or the description is not valid UTF-8");
        return ctl_create(c, words[0], "/templates", body);
}

static int delete(Ctl *c, char **words) {
        _cleanup_json_ json_t *template = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = find(c, words[0], &template);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/templates/%s", json_text(template, "id"));
        return ctl_delete(c, words[0], path);
}

int verb_template(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "create", "NAME IMAGE", 2, 2, create },
                { "delete", "TEMPLATE",   1, 1, delete },
                { "list",   "",           0, 0, list   },
                { "show",   "TEMPLATE",   1, 1, show   },
                {},
        };

        return subverb_run(c, table, words);
}
