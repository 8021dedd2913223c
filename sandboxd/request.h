/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* One HTTP request as a handler sees it. It knows no libmicrohttpd; http-server.c implements it.
 *
 * A handler returns < 0 with error filled (the reply is the dialect's envelope of it), 0 after it replied, or 1: it
 * replies later, until then the connection is suspended. Exactly one reply is given to each request; after it the
 * request belongs to the server. A client that goes away early is told by the callback of request_on_gone(), after
 * which the request must not be touched any more. */

typedef struct Request Request;
typedef struct Route Route;

typedef int (*RequestHandler)(Request *request, sd_bus_error *error);

/* The program's userdata (Manager *). */
void *request_userdata(Request *r);
const Route *request_route(const Request *r);
const char *request_method(const Request *r);
/* As it was sent, without the query. */
const char *request_path(const Request *r);
/* (routes that end in "*name") That rest of the path, as it was sent. */
const char *request_path_rest(const Request *r);
/* All of the query, as it was sent; NULL: there is none. */
const char *request_query_text(const Request *r);
/* NULL when absent. Path values are decoded and valid UTF-8. */
const char *request_path_value(const Request *r, const char *name);
const char *request_query(const Request *r, const char *name);
const char *request_header(const Request *r, const char *name);
int request_foreach_header(const Request *r, void (*handler)(const char *name, const char *value, void *userdata),
                           void *userdata);
/* Label of the token that admitted the request, "unix:<uid>" for the local socket, "" without a token. */
const char *request_principal(const Request *r);
/* The merged input of the JSON routes: query values (strings), then the members of the body, then path values; later
 * ones win. Borrowed. */
json_t *request_input(Request *r);

/* Of the server that serves it. */
typedef struct HttpFigures {
        size_t connections, connections_max;
        const uint64_t *statuses; /* replies by status, up to n_statuses */
        size_t n_statuses;
} HttpFigures;

void request_get_figures(const Request *r, HttpFigures *ret);

/* The sandbox (id of 32 digits) that the request is about, for the log. */
void request_set_sandbox(Request *r, const char *id);

/* Each takes what it is given over, also on failure. */
int request_reply_json(Request *r, unsigned status, json_t *body);
/* With what a client has stored here, whose numbers go back to the last bit. */
int request_reply_json_exact(Request *r, unsigned status, json_t *body);
/* For json_dumps(): 0.242 of ours is not to look like 0.24199999999999999. */
#define JSON_OWN_REALS JSON_REAL_PRECISION(15)
int request_reply_empty(Request *r, unsigned status);
int request_reply_bytes(Request *r, unsigned status, const char *content_type, char *bytes, size_t n);
/* size bytes of a regular file from offset; a file that shrinks meanwhile ends the connection. */
int request_reply_file(Request *r, unsigned status, const char *content_type, int fd, uint64_t offset, uint64_t size);
int request_reply_error(Request *r, const sd_bus_error *error);
int request_reply_errno(Request *r, int error);
/* For the reply to come. */
int request_add_header(Request *r, const char *name, const char *value);

/* A body that is made while it is sent: SSE, or JSON too large for memory. */
typedef struct ReplySource {
        /* Bytes written into buffer; 0: nothing now, wait for request_stream_wake(); -ENODATA: the end;
         * another negative errno: break the connection off, so that the client sees it is not whole. */
        ssize_t (*read)(void *userdata, char *buffer, size_t size);
        /* Called exactly once, at the end or when the client went away. */
        void (*free)(void *userdata);
        void *userdata;
} ReplySource;

int request_reply_stream(Request *r, unsigned status, const char *content_type, const ReplySource *source);
/* The same with a size that is known, UINT64_MAX: it is not. */
int request_reply_stream_sized(Request *r, unsigned status, const char *content_type, uint64_t size,
                               const ReplySource *source);
void request_stream_wake(Request *r);

/* Raw request bodies, for routes with ROUTE_BODY_STREAM: the handler is called once the headers are there and calls
 * request_receive() before it returns 1. */
typedef struct BodySink {
        /* Bytes consumed; fewer than n (also 0): wait for request_body_wake(); negative: the request fails with it. */
        ssize_t (*write)(void *userdata, const char *data, size_t n);
        /* The body is whole. Reply from here or later. */
        int (*end)(void *userdata, sd_bus_error *error);
        void *userdata;
} BodySink;

int request_receive(Request *r, const BodySink *sink);
void request_body_wake(Request *r);
/* Content-Length, or UINT64_MAX for a chunked body. */
uint64_t request_body_size(const Request *r);

/* Called if the connection ends before the reply was handed over whole. NULL takes the callback back. */
void request_on_gone(Request *r, void (*callback)(Request *r, void *userdata), void *userdata);

/* Stands before the handlers of the routes with ROUTE_CREATES. */
typedef struct RequestGuard {
        /* > 0: on to the handler. 0: it has replied, < 0: error says why not. */
        int (*begin)(Request *r, sd_bus_error *error);
        /* (with data) The handler has returned, and nothing is sent yet; < 0 replaces what it has replied. */
        int (*handled)(Request *r, sd_bus_error *error);
        /* (with data) The reply; text is NULL when it is a stream. */
        void (*replied)(Request *r, unsigned status, const char *text, size_t n);
        /* (with data) There will be no more of it. */
        void (*ended)(Request *r);
} RequestGuard;

/* Stands before the handlers of the routes with ROUTE_FOREIGN. */
typedef struct RequestGate {
        /* > 0: served, whether there is a token or not, to pages of any site: who sends it can only have it from
         * somebody who has a token. 0: as any other request. < 0: error says why not. */
        int (*admit)(Request *r, sd_bus_error *error);
        /* What pages may read it, as Access-Control-Allow-Origin has it; NULL: as the settings say. */
        const char *(*allow_origin)(Request *r, const char *origin);
} RequestGate;

/* The guard's own; NULL: it does not care about this request. */
void *request_guard_data(const Request *r);
void request_set_guard_data(Request *r, void *data);
