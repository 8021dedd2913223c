/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

/* How often: a bucket a token, and two a sandbox, for commands and for files, whoever sends them. They are looked at
 * when the head of a request is known, so that a refusal costs neither a body nor a handler. What only goes on with a
 * command that runs (its input, a signal) is none of them: to be refused there would break what was allowed before. */

static const struct {
        const char *method, *path; /* as in the table of routes; a last "*" is any rest */
        RateClass class;
} classes[] = {
        { "POST", "/sandboxes/:id/exec",            RATE_SANDBOX_EXEC  },
        { "POST", "/sandboxes/:id/exec/background", RATE_SANDBOX_EXEC  },
        { "POST", "/sandboxes/:id/exec/queue",      RATE_SANDBOX_EXEC  },
        { "POST", "/sandboxes/:id/exec/stream",     RATE_SANDBOX_EXEC  },
        { NULL,   "/sandboxes/:id/files/*",         RATE_SANDBOX_FILES },
        { NULL,   "/sandboxes/:id/git/*",           RATE_SANDBOX_EXEC  },
        { "POST", "/sandboxes/:id/interpret/*",     RATE_SANDBOX_EXEC  },
        { "POST", "/sandboxes/:id/terminals",       RATE_SANDBOX_EXEC  },
};

static bool path_matches(const char *pattern, const char *path) {
        size_t n = strlen(pattern);

        return pattern[n - 1] == '*' ? strncmp(pattern, path, n - 1) == 0 : streq(pattern, path);
}

static RateClass class_of(const Route *route) {
        for (size_t i = 0; i < ELEMENTSOF(classes); i++)
                if (path_matches(classes[i].path, route->path) &&
                    (!classes[i].method || streq(classes[i].method, route->method)))
                        return classes[i].class;
        return _RATE_CLASS_MAX;
}

/* Buckets start full again only if their sizes changed. */
static int apply(RateLimit *limit, bool enabled, uint32_t per_minute, uint32_t burst) {
        RateTable *table = NULL;
        int r;

        if (!!limit->table == enabled && limit->per_minute == per_minute && limit->burst == burst)
                return 0;
        if (enabled) {
                r = rate_table_new((double) per_minute / 60, burst, &table);
                if (r < 0)
                        return r;
        }
        rate_table_free(limit->table);
        *limit = (RateLimit) { .table = table, .per_minute = per_minute, .burst = burst };
        return 0;
}

int http_rates_apply(HttpServer *h) {
        const Settings *s = h->options.settings;
        int r;

        r = apply(h->rates + RATE_TOKEN, s->rate_limit, s->rate_token_rpm, s->rate_token_burst);
        if (r >= 0)
                r = apply(h->rates + RATE_SANDBOX_EXEC, s->rate_limit, s->rate_sandbox_exec_pm, s->rate_sandbox_exec_pm);
        if (r >= 0)
                r = apply(h->rates + RATE_SANDBOX_FILES, s->rate_limit, s->rate_sandbox_fs_pm, s->rate_sandbox_fs_pm);
        return r;
}

void http_rates_done(HttpServer *h) {
        for (size_t i = 0; i < _RATE_CLASS_MAX; i++)
                h->rates[i].table = rate_table_free(h->rates[i].table);
}

static bool take(Request *r, RateClass class, const char *key) {
        static const HttpRefusal refusal = { 429, "rate_limited", "Rate limit exceeded", false };
        RateTable *table = r->server->rates[class].table;
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        char seconds[24];

        if (rate_table_take(table, key, now))
                return true;
        (void) snprintf(seconds, sizeof seconds, "%u", rate_table_wait_sec(table, key, now));
        (void) request_add_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
        (void) http_reply_refusal(r, &refusal);
        return false;
}

/* By token, as it was sent; who needs none is not limited. */
bool http_rate_admit(Request *r) {
        const char *header = r->head.authorization, *id = request_path_value(r, "id");
        const Route *route = r->match.route;
        RateClass class;

        if (!r->server->rates[RATE_TOKEN].table || route->flags & ROUTE_NO_AUTH)
                return true;
        if (header && !take(r, RATE_TOKEN, startswith(header, "Bearer ") ?: header))
                return false;
        class = class_of(route);
        return class == _RATE_CLASS_MAX || !id || take(r, class, id);
}
