/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "libsandbox/macro.h"

/* A blocking HTTP/1.1 client that keeps its connection, with as little between the clock and the socket as can be. */
typedef struct Http {
        const char *address; /* a path, or a TCP port of 127.0.0.1 */
        int fd;
        char *buffer;
        size_t size;
        const char *body;    /* of the last answer, NUL-terminated; valid until the next request */
        size_t length;
} Http;

int http_open(Http *h, const char *address);
void http_close(Http *h);
/* The status, or a negative errno. ret_usec: from the first byte sent to the last one received. */
int http_call(Http *h, const char *method, const char *path, const char *json, double *ret_usec);
/* The same for an answer that is not kept, only counted: chunked, of any length. */
int http_drain(Http *h, const char *path, const char *json, double *ret_usec, uint64_t *ret_bytes);

/* The same for one that has no end: the status once its head is there, and then what comes, a piece at a time, in
 * h->body; at least one byte, or a negative errno. */
int http_begin(Http *h, const char *method, const char *path, const char *json);
int http_more(Http *h);

double now_in_usec(void);
