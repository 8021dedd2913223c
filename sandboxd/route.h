/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/json-fields.h"
#include "sandboxd/request.h"

typedef enum RouteFlags {
        ROUTE_NO_AUTH = 1 << 0,
        ROUTE_BODY_STREAM = 1 << 1, /* raw body through request_receive(); size limit is settings.upload_max */
        ROUTE_LARGE_BODY = 1 << 2,  /* JSON up to 48 MiB: base64 uploads */
        ROUTE_READS = 1 << 3,       /* changes nothing, though its method may */
        ROUTE_CREATES = 1 << 5,     /* makes something new: understands Idempotency-Key */
        ROUTE_ANEW = 1 << 7,        /* (creates) what it tells is told once: a repeated request gets it anew, of the object */
        ROUTE_FOREIGN = 1 << 6,     /* what is served there is not ours: query and body are not read, and RequestGate says
                                     * who may come without a token, and from which pages */
        ROUTE_QUIET = 1 << 4,       /* part of what the log has already: a line for each key would say nothing */
} RouteFlags;

/* A dialect: its prefix, its table, its envelope. An error name or errno is mapped to a status by errors[]. */
typedef struct ErrorRow {
        const char *name;           /* sd-bus error name */
        unsigned status;
        const char *code;           /* for dialects that have codes */
} ErrorRow;

typedef struct Dialect {
        const char *name;           /* "sandbox" */
        /* {"error": text} and the like; the reply's body. status is from the table or the server's own. */
        json_t *(*envelope)(unsigned status, const char *code, const char *message);
        const ErrorRow *errors;
        size_t n_errors;
        unsigned default_status;    /* for errors that the table does not have: 500 */
        unsigned missing_token_status, wrong_token_status;
} Dialect;

struct Route {
        const char *method;         /* "*": any that has no row of its own for the path */
        const char *path;           /* below the dialect's prefix: "/sandboxes/:id/exec"; a last segment "*name" takes
                                     * the rest of the path */
        RequestHandler handler;
        unsigned flags;
        const char *help;
        /* For the OpenAPI document and the tests that are made of it; named in the row, all may be left out. */
        const JsonTable *input;     /* the fields of query and body; NULL: it reads none */
        const char *reply;          /* a schema's name; NULL: nothing is said about it. openapi.h has the forms */
        const char *header;         /* a number that the request must have in this header; NULL: none */
};

typedef struct RouteTable {
        const Dialect *dialect;
        const char *prefix;         /* "/sandbox"; from the settings */
        const Route *routes;
        size_t n_routes;
} RouteTable;

#define ROUTE_VALUES_MAX 8U

typedef struct RouteMatch {
        const Route *route;
        const RouteTable *table;
        const char *names[ROUTE_VALUES_MAX];
        char *values[ROUTE_VALUES_MAX]; /* decoded, owned */
        size_t n_values;
        /* On -EOPNOTSUPP: the methods of the path, "GET, POST". */
        char allow[64];
} RouteMatch;

/* -ENOENT: no such path (match.table says whose dialect, NULL: nobody's); -EOPNOTSUPP: other methods only;
 * -EINVAL: a segment that must not be (%2f, %00, %5c, "..", bad UTF-8). A fixed segment wins over ":name". */
int route_find(const RouteTable *tables, size_t n_tables, const char *method, const char *path, RouteMatch *ret);
void route_match_done(RouteMatch *m);
