/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "sandboxd/http/response.h"

/* A connection to an HTTP server in a sandbox, with one request at a time on it. Bytes are read when somebody wants them
 * and written as fast as they are taken; nothing waits here but the head of the response and, of the request, a little.
 * Knows no sandbox, no bus and no client. */

typedef struct Upstream Upstream;

typedef struct UpstreamHandlers {
        /* The final head, valid until this returns; ones with 1xx were skipped. */
        void (*on_head)(const ResponseHead *head, void *userdata);
        /* There is more to read, after upstream_read() had nothing. */
        void (*on_readable)(void *userdata);
        /* There is room again, after upstream_write() had none. */
        void (*on_writable)(void *userdata);
        /* There will be no head; what says why, for people. */
        void (*on_failed)(const char *what, void *userdata);
        /* (no request on it) It is of no use any more. */
        void (*on_idle_end)(Upstream *u, void *userdata);
} UpstreamHandlers;

typedef struct UpstreamRequest {
        char *head;             /* as it is sent, with the empty line; taken over */
        size_t n_head;
        uint64_t body_size;     /* UINT64_MAX: chunks */
        bool is_head;           /* a HEAD request */
        bool may_switch;        /* it asks for another protocol, so that 101 is an answer */
} UpstreamRequest;

/* Takes fd over, a socket that is connected or about to be. */
int upstream_new(sd_event *event, int fd, Upstream **ret);
Upstream *upstream_free(Upstream *u);
DEFINE_CLEANUP(Upstream *, upstream_free)
void upstream_set_handlers(Upstream *u, const UpstreamHandlers *handlers, void *userdata);

/* Takes the head over, also on failure. */
int upstream_begin(Upstream *u, UpstreamRequest *request);
/* Bytes of the body that were taken. */
size_t upstream_write(Upstream *u, const char *data, size_t n);
/* The body is whole. */
void upstream_end_body(Upstream *u);
/* Bytes of the response's body; 0: none now, -ENODATA: that was all, other errors: the rest never comes. */
ssize_t upstream_read(Upstream *u, char *buffer, size_t size);
/* Request and response are over, and another request may follow. */
bool upstream_is_reusable(const Upstream *u);
/* It is, and nobody uses it: on_idle_end() of these tells when the server closes it. */
void upstream_set_idle(Upstream *u, const UpstreamHandlers *handlers, void *userdata);
/* The response is over. */
bool upstream_is_done(const Upstream *u);
bool upstream_has_answered(const Upstream *u);
/* It is the server's turn. */
bool upstream_waits(const Upstream *u);
/* Of the last byte that came or went. */
uint64_t upstream_progress_usec(const Upstream *u);
/* After 101: the socket, and what was read from it already (valid until the upstream is freed). */
int upstream_take_socket(Upstream *u, const char **ret_data, size_t *ret_size);
