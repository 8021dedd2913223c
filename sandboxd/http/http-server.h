/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/service.h"
#include "libsandbox/settings.h"
#include "sandboxd/http/auth.h"
#include "sandboxd/route.h"

/* libmicrohttpd inside sd-event, without threads. We accept ourselves: a connection is counted, its peer known, and
 * it costs one descriptor and one event source until its first byte arrives; only then libmicrohttpd gets it.
 *
 * Requests hold the service, idle connections do not: when nothing holds it any more, the service's on_idle callback
 * calls http_server_drain(). */

typedef struct HttpServer HttpServer;

/* How long a client may take. */
typedef struct HttpTimes {
        uint64_t head_usec;             /* from the first byte to the end of the headers */
        uint64_t body_idle_usec;        /* without a byte; and on average at least 1 KiB/s after it */
        uint64_t keep_alive_usec;
        uint64_t write_stall_usec;      /* it takes nothing of the reply */
        uint64_t reply_usec;            /* to take all of it; after that on average at least 1 KiB/s */
        uint64_t half_closed_usec;      /* it sends no more, but may wait for the reply (nc -N) */
        uint64_t heartbeat_usec;        /* between two pings of a WebSocket */
        uint64_t sweep_usec;            /* how often these are looked at */
} HttpTimes;

extern const HttpTimes http_times_default;

/* A request that was admitted is over. */
typedef struct HttpOutcome {
        const RouteTable *table;
        const Route *route;
        const char *sandbox;    /* 32 digits; "": none, or not known */
        const char *error;      /* what the client was told; NULL: nothing */
        unsigned status;        /* 0: it went away before there was one */
        uint64_t duration_usec; /* from its first byte to the last of the reply */
} HttpOutcome;

typedef struct HttpServerOptions {
        Service *service;       /* NULL in tests without the idle exit; then event */
        sd_event *event;
        const Settings *settings;
        const RouteTable *tables;
        size_t n_tables;
        const int *tcp_fds;     /* the sockets named "http" */
        size_t n_tcp;
        const int *unix_fds;    /* the sockets named "api" */
        size_t n_unix;
        Auth *auth;
        const RequestGuard *guard; /* NULL: none */
        const RequestGate *gate; /* NULL: none */
        const HttpTimes *times; /* NULL: the defaults */
        void (*on_outcome)(const HttpOutcome *outcome, void *userdata); /* may be NULL */
        void *userdata;         /* request_userdata() */
} HttpServerOptions;

/* The options' pointers must outlive the server; the listening sockets are not closed. -EPERM with a message when a
 * socket is reachable from outside and no token is configured. */
int http_server_new(const HttpServerOptions *options, HttpServer **ret);
/* Ends all connections; each request still without its reply is told by its request_on_gone(). */
HttpServer *http_server_free(HttpServer *h);
DEFINE_CLEANUP(HttpServer *, http_server_free)

/* False if we listen beyond loopback and there is no token in it. */
bool http_server_can_use(const HttpServer *h, const Auth *auth);
/* The settings at the pointer it has are others now, and so are the tokens; requests under way keep theirs. */
int http_server_reload(HttpServer *h, Auth *auth);

/* Closes the connections that have no request. Returns > 0 if one of them turned out to be at work. */
int http_server_drain(HttpServer *h);

/* Serves one connected stream socket as if it had been accepted; takes it over. For tests and fuzzing. */
int http_server_add_socket(HttpServer *h, int fd);

size_t http_server_n_connections(const HttpServer *h);
