/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/string-util.h"
#include "sandboxd/http/http-private.h"

/* Host and Origin guard the API from pages that the user's browser happens to show. A server in a sandbox that the user
 * lets his browser show is such a page itself: what it is served by is guarded by a signature in the URL instead, which
 * the gate knows of, and it gets an origin of its own from the handler. Host is looked at all the same. */

bool http_is_foreign(const Request *r) {
        return r->match.route && r->match.route->flags & ROUTE_FOREIGN && r->server->options.gate;
}

const char *http_gate_allowed_origin(Request *r) {
        return http_is_foreign(r) && r->head.origin ? r->server->options.gate->allow_origin(r, r->head.origin) : NULL;
}

bool http_gate_passes(Request *r, HttpRefusal *ret_refusal) {
        const Settings *settings = r->server->options.settings;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ListenerKind kind = r->connection->kind;
        int result;

        if (!http_is_foreign(r))
                return http_check_origin(&r->head, r->method, kind, settings, ret_refusal);
        if (!http_check_host(&r->head, kind, settings, ret_refusal))
                return false;
        result = r->server->options.gate->admit(r, &error);
        if (result < 0) {
                (void) (sd_bus_error_is_set(&error) ? request_reply_error(r, &error) : request_reply_errno(r, result));
                return false;
        }
        r->open = result > 0;
        if (r->open || http_gate_allowed_origin(r))
                return true;
        return http_check_origin(&r->head, r->method, kind, settings, ret_refusal);
}
