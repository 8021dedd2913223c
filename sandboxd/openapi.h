/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/route.h"

/* The OpenAPI 3.1 document, made of the rows that dispatch and read: it can name no path, field or bound that is not
 * so. What a reply looks like is the one thing that no table of the code has; openapi-schemas.c tells it.
 *
 * struct Route .reply is one of: the name of a schema ("Sandbox") or of a type ("string"), each also with "[]" behind it;
 * several of these with "|" between them; "events:NAME", an event stream of that schema; "bytes", as they are; "none", a 204; "socket",
 * a WebSocket. */

/* What an object has: "name:type" and blanks. A type is as in .reply, or integer, number, boolean, null, object, map (an
 * object of strings), any. "name?" may be absent. */
typedef struct OpenapiSchema {
        const char *name, *members;
} OpenapiSchema;

extern const OpenapiSchema openapi_schemas[];
extern const size_t n_openapi_schemas;

/* prefix: where the first table is, "/sandbox". A new reference; NULL: no memory, or a row that says nonsense. */
json_t *openapi_make(const char *prefix);
/* sandboxd --openapi */
int openapi_print(void);
