/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <microhttpd.h>

#include "libsandbox/settings.h"

/* Strictness on top of libmicrohttpd: what a request's head may look like at all, and who may send it from where. No
 * reply is made here: a refusal says which. */

#define HTTP_TARGET_MAX (4 * KiB)
#define HTTP_HEADERS_MAX 64U
#define HTTP_HEAD_MAX (16 * KiB)
/* So many bytes hold every head that is not too large. */
#define HTTP_BYTES_MAX (HTTP_TARGET_MAX + HTTP_HEAD_MAX + KiB)

typedef enum ListenerKind {
        LISTENER_LOOPBACK,
        LISTENER_UNIX,
        LISTENER_OTHER,
} ListenerKind;

typedef struct HttpRefusal {
        unsigned status;
        const char *code, *message;
        bool close;             /* the framing cannot be trusted: nothing more is read */
} HttpRefusal;

/* As libmicrohttpd tells it, but for target: what stood there before it was cut at the question mark. */
typedef struct HttpRequestLine {
        const char *method, *url, *version;
        size_t target_size;
        bool target_clean;      /* no control character, no space */
} HttpRequestLine;

/* The headers that matter here; borrowed from libmicrohttpd. */
typedef struct HttpHead {
        const char *host, *origin, *authorization, *content_type, *content_length, *transfer_encoding, *expect;
        const char *sec_fetch_site;
        bool has_sec_fetch, duplicate, malformed, has_body;
        size_t n_headers, n_bytes;
        uint64_t body_size;     /* UINT64_MAX: chunked */
        const char *end;        /* of what was looked at so far, in libmicrohttpd's buffer; NULL: not looked at */
} HttpHead;

/* Fills *ret. False with a refusal if the request must not be looked at any further. */
bool http_check_head(struct MHD_Connection *connection, const HttpRequestLine *line, HttpHead *ret,
                     HttpRefusal *ret_refusal);
/* Looks at the first n bytes of a connection, HTTP_BYTES_MAX at most and as far as they are whole lines, for what
 * libmicrohttpd might refuse with a page of its own. */
bool http_check_bytes(const char *bytes, size_t n, HttpRefusal *ret_refusal);
/* Of a libmicrohttpd that is to be lenient, since we see more than it does. */
bool http_must_compare_bytes(void);
/* Rebinding. */
bool http_check_host(const HttpHead *head, ListenerKind kind, const Settings *settings, HttpRefusal *ret_refusal);
/* Rebinding and cross-site requests. */
bool http_check_origin(const HttpHead *head, const char *method, ListenerKind kind, const Settings *settings,
                       HttpRefusal *ret_refusal);
bool http_origin_is_allowed(const char *origin, const Settings *settings);
bool http_target_is_clean(const char *target);
bool http_is_token(const char *s, size_t n);
