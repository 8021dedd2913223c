/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/subverbs.h"
#include "sandboxctl/verbs-table.h"

/* Exposed ports of a sandbox. A port is a number, with "/udp" behind it for that protocol. */

typedef struct PortWord {
        uint32_t number;
        const char *protocol;   /* NULL: none was given */
} PortWord;

static int read_port(Ctl *c, const char *word, PortWord *ret) {
        const char *slash = strchrnul(word, '/');
        _cleanup_free_ char *number = strndup(word, (size_t) (slash - word));

        if (!number)
                return ctl_oom(c);
        *ret = (PortWord) { .protocol = *slash ? slash + 1 : NULL };
        if (parse_u32(number, &ret->number) < 0 ||
            (ret->protocol && !streq(ret->protocol, "tcp") && !streq(ret->protocol, "udp")))
                return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not a port, like 8080 or 53/udp", word);
        return EXIT_STATUS_OK;
}

/* One request about the ports of words[0]. Takes body over. */
static int ask(Ctl *c, const char *word, const char *method, json_t *body, json_t **ret) {
        _cleanup_json_ json_t *owned = body;
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        r = ctl_resolve(c, word, &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/ports", id);
        return ctl_request(c, id, method, path, TAKE_PTR(owned), ret);
}

static int expose(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL, *host = NULL;
        PortWord port, host_port;
        int r;

        r = read_port(c, words[1], &port);
        if (r == EXIT_STATUS_OK && words[2]) {
                r = read_port(c, words[2], &host_port);
                if (r == EXIT_STATUS_OK)
                        host = json_integer(host_port.number);
        }
        if (r != EXIT_STATUS_OK)
                return r;
        r = ask(c, words[0], "POST", json_pack("{s:I, s:O*, s:s*}", "containerPort", (json_int_t) port.number,
                                               "hostPort", host, "protocol", port.protocol), &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        (void) printf("%" PRIi64 "\n", json_int(reply, "hostPort"));
        return EXIT_STATUS_OK;
}

static int close_port(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL;
        PortWord port;
        int r;

        r = read_port(c, words[1], &port);
        if (r == EXIT_STATUS_OK)
                r = ask(c, words[0], "DELETE", json_pack("{s:I, s:s*}", "containerPort", (json_int_t) port.number,
                                                         "protocol", port.protocol), &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

static int add_port(Table *t, const json_t *item) {
        int r;

        r = table_addf(t, "%" PRIi64 "/%s", json_int(item, "containerPort"), json_text(item, "protocol"));
        if (r >= 0)
                r = table_addf(t, "%" PRIi64, json_int(item, "hostPort"));
        return r < 0 ? r : table_add(t, json_text(item, "state"));
}

static int list(Ctl *c, char **words) {
        static const Column columns[] = { { "PORT" }, { "HOST", true }, { "STATE" }, {} };
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ask(c, words[0], "GET", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        return rows_show(c, &(RowsView) { .reply = reply, .key = "ports", .columns = columns, .add = add_port });
}

int verb_port(Ctl *c, char **words) {
        static const Subverb table[] = {
                { "close",  "ID PORT",             2, 2, close_port },
                { "expose", "ID PORT [HOST-PORT]", 2, 3, expose     },
                { "list",   "ID",                  1, 1, list       },
                {},
        };

        return subverb_run(c, table, words);
}
