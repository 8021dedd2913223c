/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <poll.h>

#include "libsandbox/macro.h"

/* The REST client: requests over libcurl's multi interface, so that a request may upload, another one stream and file
 * descriptors be watched in the same wait. No redirect is followed: the token goes to the named server only. */
typedef struct Client Client;
typedef struct Transfer Transfer;

typedef struct ClientOptions {
        const char *url;         /* --url */
        const char *socket;      /* --socket */
        const char *token_file;
        uint64_t token_fd;       /* UINT64_MAX: none */
} ClientOptions;

#define CLIENT_OPTIONS_DEFAULT ((ClientOptions) { .token_fd = UINT64_MAX })

/* -EINVAL: not a URL we speak; else what reading the token failed with. *ret_error (owned) says it. */
int client_new(const ClientOptions *options, Client **ret, char **ret_error);
Client *client_free(Client *c);
DEFINE_CLEANUP(Client *, client_free)

/* "http://localhost:3111" or the socket's path. */
const char *client_address(const Client *c);
/* Percent-encoded for a query value. */
char *client_encode(const char *value);

typedef struct TransferSpec {
        const char *method;
        const char *path;             /* below the prefix, with its query */
        const json_t *body;           /* sent as JSON; NULL: none, or source */
        const char *accept;           /* NULL: application/json */
        const char *headers[3];       /* more lines of the head, up to a NULL */
        /* Takes the body of a 2xx reply; a negative errno ends the transfer. NULL: it is collected. */
        int (*sink)(const char *data, size_t n, void *userdata);
        /* Gives the request's body as application/octet-stream: bytes, 0 at the end, a negative errno; -EAGAIN pauses
         * until transfer_resume(). */
        ssize_t (*source)(char *buffer, size_t n, void *userdata);
        uint64_t source_size;         /* UINT64_MAX: unknown, sent in chunks */
        const char *raw;              /* the request's body as application/octet-stream, all of it; must stay */
        size_t raw_size;
        void *userdata;
} TransferSpec;

typedef struct TransferResult {
        long status;                  /* HTTP; 0 before an answer */
        const char *text;             /* collected body, NUL-terminated, or the reason of a failed connection */
        size_t size;
} TransferResult;

/* Starts it; nothing moves before client_wait(). */
int transfer_new(Client *c, const TransferSpec *spec, Transfer **ret);
/* Drops it, whatever its state. */
Transfer *transfer_free(Transfer *t);
DEFINE_CLEANUP(Transfer *, transfer_free)
void transfer_resume(Transfer *t);
bool transfer_is_done(const Transfer *t);
/* Its source had nothing to give. */
bool transfer_is_paused(const Transfer *t);
/* Of a transfer that is done: 0 when an HTTP answer came whole, -ECONNREFUSED when there is no server,
 * -ECONNRESET when it broke, or the error of sink or source. */
int transfer_result(const Transfer *t, TransferResult *ret);
/* Content-Length of the reply, -1 while unknown. */
int64_t transfer_reply_size(const Transfer *t);

/* A header of the reply, NULL if it has none; valid until the next call and the end of the transfer. */
const char *transfer_header(const Transfer *t, const char *name);

/* Moves all transfers until something happened to one of them or to a watched descriptor (its revents are set). */
int client_wait(Client *c, struct pollfd *watched, size_t n_watched);
/* client_wait() until t is done, then its result. */
int transfer_finish(Transfer *t, TransferResult *ret);
