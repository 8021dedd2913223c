/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/http-private.h"

/* `journalctl MESSAGE_ID=...` shows all of them. */
#define AUDIT_MESSAGE_ID "b23ec6610eb94c3f8cee90819971267b"

static bool may_change_state(const Route *route) {
        return route && !streq(route->method, "GET") && !(route->flags & (ROUTE_READS | ROUTE_QUIET));
}

void http_audit(Request *r, unsigned status) {
        const Route *route = r->match.route;
        char action[256], number[16];
        const LogField fields[] = {
                { "MESSAGE_ID",         AUDIT_MESSAGE_ID    },
                { "SANDBOXD_PRINCIPAL", r->principal        },
                { "SANDBOXD_PEER",      r->connection->peer },
                { "SANDBOXD_ACTION",    action              },
                { "SANDBOXD_STATUS",    number              },
        };

        if (r->audited || !may_change_state(route))
                return;
        r->audited = true;
        (void) snprintf(action, sizeof action, "%s %s%s", route->method, r->match.table->prefix, route->path);
        (void) snprintf(number, sizeof number, "%u", status);
        /* The path comes last: it may be cut. */
        log_fields(LOG_INFO, isempty(r->sandbox) ? NULL : r->sandbox, fields, ELEMENTSOF(fields),
                   "%s for %s at %s: %s %s", status > 0 ? number : "No reply",
                   isempty(r->principal) ? "anybody" : r->principal, r->connection->peer, r->method, r->target);
}
