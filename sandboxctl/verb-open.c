/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/verbs-table.h"

/* Prints an address, and leaves it to its reader what to open it with: a browser that is started here may be another
 * user's, or on another machine than he sits at. */

static const char *arg_path;
static uint64_t arg_expires_sec = UINT64_MAX;

const Option open_options[] = {
        { 'p', "path", "PATH", OPTION_STRING, &arg_path, "What it lets through: this and all below; / unless given" },
        { 't', "expires", "SECONDS", OPTION_SECONDS, &arg_expires_sec, "How long it holds; an hour unless given" },
        {},
};

static int make_body(Ctl *c, const char *port, json_t **ret) {
        uint32_t number;
        json_t *body;

        if (parse_u32(port, &number) < 0)
                return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is not a port", port);
        body = json_pack("{s:I}", "port", (json_int_t) number);
        if (!body || json_set_text(body, "path", arg_path) < 0 || json_set_uint(body, "expiresIn", arg_expires_sec) < 0) {
                json_decref(body);
                return ctl_oom(c);
        }
        *ret = body;
        return EXIT_STATUS_OK;
}

int verb_open(Ctl *c, char **words) {
        _cleanup_json_ json_t *reply = NULL, *body = NULL;
        _cleanup_free_ char *id = NULL, *path = NULL;
        int r;

        r = make_body(c, words[1], &body);
        if (r == EXIT_STATUS_OK)
                r = ctl_resolve(c, words[0], &id);
        if (r != EXIT_STATUS_OK)
                return r;
        path = ctl_path("/sandboxes/%s/proxy/url", id);
        r = ctl_request(c, id, "POST", path, TAKE_PTR(body), &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        (void) printf("%s\n", json_text(reply, "url"));
        return EXIT_STATUS_OK;
}
