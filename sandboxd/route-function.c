/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/route-function.h"

#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"

static const struct {
        const char *method, *path, *function;
} named[] = {
        { "*",      "/proxy/:id/:port",                          "proxy::pass"               },
        { "*",      "/proxy/:id/:port/*rest",                    "proxy::pass::path"         },
        { "DELETE", "/sandboxes/:id",                            "sandbox::kill"             },
        { "DELETE", "/sandboxes/:id/terminal/:sessionId",        "terminal::session::close"  },
        { "GET",    "/sandboxes/:id/env",                        "env::list"                 },
        { "GET",    "/sandboxes/:id/exec",                       "sandbox::exec::list"       },
        { "POST",   "/proxy/:id/:port",                          "proxy::request"            },
        { "POST",   "/sandboxes/:id/env",                        "env::set"                  },
        { "POST",   "/sandboxes/:id/exec",                       "sandbox::exec"             },
        { "POST",   "/sandboxes/:id/terminal",                   "terminal::session::create" },
        { "POST",   "/sandboxes/:id/terminal/:sessionId/resize", "terminal::session::resize" },
        { "POST",   "/webhooks/:webhook",                        "webhook::change"           },
};

/* What is of a sandbox and has a noun of its own. */
static const struct {
        const char *segment, *noun;
} nouns[] = {
        { "alerts", "alert" },         { "env", "env" },             { "events", "event" },   { "files", "fs" },
        { "git", "git" },              { "interpret", "interpreter" }, { "networks", "network" }, { "ports", "port" },
        { "processes", "process" },    { "sandboxes", "sandbox" },   { "snapshots", "snapshot" },
        { "stream", "stream" },        { "templates", "template" },  { "terminals", "terminal" },
        { "terminal", "terminal" },    { "volumes", "volume" },      { "webhooks", "webhook" },
        { "workers", "worker" },
};

static const char *noun_of(const char *segment, size_t n) {
        for (size_t i = 0; i < ELEMENTSOF(nouns); i++)
                if (strlen(nouns[i].segment) == n && memcmp(nouns[i].segment, segment, n) == 0)
                        return nouns[i].noun;
        return NULL;
}

static bool has_other_method(const RouteTable *table, const Route *route) {
        for (size_t i = 0; i < table->n_routes; i++)
                if (table->routes + i != route && streq(table->routes[i].path, route->path))
                        return true;
        return false;
}

static const char *method_verb(const Route *route, bool one) {
        if (streq(route->method, "GET"))
                return one ? "get" : "list";
        return streq(route->method, "POST")    ? "create"
               : streq(route->method, "PUT")   ? "put"
               : streq(route->method, "PATCH") ? "append"
                                               : "delete";
}

static void append(char *name, const char *word, size_t n) {
        size_t length = strlen(name);

        (void) snprintf(name + length, 64 - length, "%s%.*s", length > 0 ? "::" : "", (int) n, word);
}

void route_function(const RouteTable *table, const Route *route, char ret[64]) {
        const char *path = route->path, *inside = startswith(path, "/sandboxes/:id/");
        bool first = true, one = false;

        ret[0] = 0;
        for (size_t i = 0; i < ELEMENTSOF(named); i++)
                if (streq(named[i].method, route->method) && streq(named[i].path, path)) {
                        append(ret, named[i].function, strlen(named[i].function));
                        return;
                }
        for (const char *p = inside ? inside : path + 1; *p;) {
                size_t n = strcspn(p, "/");
                const char *noun = first ? noun_of(p, n) : NULL;

                one = *p == ':' || *p == '*';
                if (first && inside && !noun)
                        append(ret, "sandbox", strlen("sandbox"));
                if (!one)
                        append(ret, noun ? noun : p, noun ? strlen(noun) : n);
                first = false;
                p += n + (p[n] == '/');
        }
        if (one || has_other_method(table, route)) {
                const char *verb = method_verb(route, one);

                append(ret, verb, strlen(verb));
        }
}
