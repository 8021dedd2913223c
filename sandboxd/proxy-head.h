/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/http/response.h"

/* What of heads goes through the proxy, in both directions. Knows no client and no sandbox, just text. */

typedef struct ProxyHead {
        char *text;             /* what goes to the server, without the empty line */
        size_t n, allocated;
        uint16_t port;
        bool failed;            /* no memory */
        bool transparent;       /* from a client's own request, not from what he wrote down for the server */
        const char *own_host;   /* as the client calls us; may be NULL */
        const char *connection; /* the client's field: what it names stays here, too; may be NULL */
        const char *via;        /* the client's; may be NULL */
} ProxyHead;

/* "GET /path HTTP/1.1" and Host. target is sent as it is. */
void proxy_head_begin(ProxyHead *h, const char *method, const char *path, const char *query);
/* One of the client's, if it is to go on. */
void proxy_head_add(ProxyHead *h, const char *name, const char *value);
/* The same, but ours. */
void proxy_head_add_own(ProxyHead *h, const char *name, const char *value);
/* Via, what says how long the body is, and the end. */
void proxy_head_end(ProxyHead *h, uint64_t body_size, const char *upgrade);
/* Anything behind it. */
void proxy_head_append(ProxyHead *h, const char *s, size_t n);
void proxy_head_done(ProxyHead *h);

/* How often a request has come through us already. */
unsigned proxy_count_via(const char *via);

/* The query without our signature; NULL: nothing is left. */
int proxy_strip_query(const char *query, char **ret);
/* The signature in a query or a Cookie field; NULL: none. */
int proxy_find_signature(const char *text, const char *separators, char **ret);

/* A field of the answer: 0: it does not go on, 1: *ret_value does, in its place. base is what lies before the server's
 * paths on our side. */
int proxy_response_field(const ResponseHead *head, const ResponseField *field, const char *base, uint16_t port,
                         char **ret_value);
