/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <microhttpd.h>
#include <systemd/sd-event.h>

#include "libsandbox/sandbox-id.h"
#include "sandboxd/http/http-check.h"
#include "sandboxd/http/http-server.h"
#include "sandboxd/http/rate.h"
#include "sandboxd/http/upgrade.h"

/* What the http-*.c files share. The life of a connection is in http-connection.c, that of a request in
 * http-request.c. */

typedef struct HttpConnection HttpConnection;
typedef struct HttpLinger HttpLinger;
typedef struct HttpStream HttpStream;

#define HTTP_LISTENERS_MAX 16U
#define HTTP_LINGERING_MAX 64U
#define HTTP_WATCHED_AT_ONCE 256U

/* Bytes of JSON bodies that are in memory at a time, over all connections. */
#define HTTP_BODIES_MAX (256 * MiB)
#define HTTP_LARGE_BODY_MAX (48 * MiB)
#define HTTP_INPUT_MAX (64 * KiB)

#define HTTP_STATUS_END 600U

typedef struct HttpListener {
        HttpServer *server;
        int fd;
        ListenerKind kind;
        sd_event_source *source;
} HttpListener;

typedef enum RateClass {
        RATE_TOKEN,
        RATE_SANDBOX_EXEC,
        RATE_SANDBOX_FILES,
        _RATE_CLASS_MAX,
} RateClass;

typedef struct RateLimit {
        RateTable *table;             /* NULL: no limit */
        uint32_t per_minute, burst;   /* that it was made with */
} RateLimit;

struct HttpServer {
        HttpServerOptions options;
        HttpTimes times;
        sd_event *event;
        struct MHD_Daemon *mhd;
        int watch_fd;                 /* epoll of connections that libmicrohttpd does not look at */
        HttpConnection *watched[HTTP_WATCHED_AT_ONCE];
        size_t n_watched;             /* of which are being dispatched */
        sd_event_source *watch_source, *mhd_source, *mhd_timer, *mhd_defer, *sweep_timer;
        HttpListener listeners[HTTP_LISTENERS_MAX];
        size_t n_listeners;
        HttpConnection *connections;  /* a ring list */
        size_t n_connections, connections_max, descriptors_max;
        HttpLinger *lingering[HTTP_LINGERING_MAX];
        HttpConnection *adding;       /* while libmicrohttpd is given it */
        uint64_t body_bytes;          /* of HTTP_BODIES_MAX */
        RateLimit rates[_RATE_CLASS_MAX];
        uint64_t statuses[HTTP_STATUS_END]; /* replies by status */
        bool accept_paused, in_access, refused, refusal_logged;
};

struct HttpConnection {
        HttpServer *server;
        HttpConnection *next, *previous;
        struct MHD_Connection *mhd;   /* NULL until the first byte came */
        int fd;                       /* ours until then */
        ListenerKind kind;
        char peer[64];                /* address without port, or "unix:<uid>" */
        Request *request;
        uint64_t idle_since_usec;     /* without a request since */
        uint64_t head_since_usec;     /* first byte of a head was seen; 0: not yet */
        uint64_t hangup_usec;         /* the peer sends no more since; 0: it may */
        bool watching, known, linger; /* by the server's epoll, to it */
};

typedef enum RequestPhase {
        REQUEST_HEAD,           /* the request line is known */
        REQUEST_BODY,           /* headers checked, body arrives */
        REQUEST_WAITING,        /* the handler has it */
        REQUEST_REPLYING,       /* libmicrohttpd has the reply */
        REQUEST_UPGRADED,       /* replied; the socket is somebody else's, see upgrade.h */
} RequestPhase;

struct Request {
        HttpServer *server;
        HttpConnection *connection;
        RequestPhase phase;
        HttpHead head;
        const char *method;
        char *target;                 /* path, NUL, query */
        size_t target_size;           /* as sent */
        bool target_clean;
        const char *query_text;
        RouteMatch match;
        const Dialect *dialect;
        const char *principal;        /* in auth, or of the connection */
        Auth *auth;
        char sandbox[SANDBOX_ID_LENGTH + 1]; /* "": none, or not known */
        json_t *query, *input;

        char *body;
        size_t body_size, body_allocated, body_max;
        uint64_t body_received, body_window; /* all; at the start of the time that is measured */
        BodySink sink;
        bool has_sink, body_waits;

        HttpStream *stream;
        Upgrade *upgrade;
        struct MHD_Response *response;
        unsigned status;
        char *error_text;             /* of an error, as the client was told */
        char **headers;               /* name, value, name, value... for the reply to come */
        void (*on_gone)(Request *r, void *userdata);
        void *on_gone_userdata;
        void *guard_data;

        uint64_t begun_usec;
        uint64_t started_usec;        /* of the phase */
        uint64_t progress_usec, progress; /* when and at what count the peer last took or sent something */
        uint64_t replying_usec, reply_base; /* since when, and progress then */
        bool suspended, close, broken, handed_over, event_stream, audited, admitted, http_1_1;
        bool open;                    /* by the gate: no token needed */
};

/* http-server.c */
int http_server_run(HttpServer *h);

/* http-connection.c */
int http_connection_new(HttpServer *h, int fd, ListenerKind kind, const char *peer);
HttpConnection *http_connection_free(HttpConnection *c);
/* Ends a connection that libmicrohttpd has: it sees the end of file. */
void http_connection_shut(HttpConnection *c);
void http_connection_unwatch(HttpConnection *c);
/* While the descriptor is open: a copy of it would keep it known to epoll. */
void http_connection_forget_watch(HttpConnection *c);
/* Looks at the watched ones. */
void http_connections_dispatch(HttpServer *h);
void http_connections_sweep(HttpServer *h);
/* libmicrohttpd's callback. */
void http_connection_notify(void *userdata, struct MHD_Connection *mhd, void **context,
                            enum MHD_ConnectionNotificationCode code);

/* http-linger.c: what goes straight to a socket, because libmicrohttpd cannot say it at that moment. */
void http_send_raw(int fd, unsigned status, const char *content_type, const char *text);
/* Reads what the peer still sends for a moment, so that it gets to read the reply; takes fd. */
void http_linger(HttpServer *h, int fd);
void http_linger_end_all(HttpServer *h);

/* http-request.c */
Request *http_request_new(HttpConnection *c, const char *target);
Request *http_request_free(Request *r);
DEFINE_CLEANUP(Request *, http_request_free)
enum MHD_Result http_request_access(Request *r, const char *method, const char *url, const char *version,
                                    const char *data, size_t *n);
/* The client is gone, or must go. */
void http_request_abort(Request *r);
void http_request_resume(Request *r);
void http_request_completed(Request *r);
void http_request_tell_outcome(const Request *r, unsigned status);
int http_request_queue(Request *r);

/* http-audit.c: a line in the log for a request that may change something, once its outcome is known; status 0: there
 * will be no reply. */
void http_audit(Request *r, unsigned status);

/* http-gate.c: who may come at all, by Host, Origin and, where what is served is not ours, the gate. */
bool http_gate_passes(Request *r, HttpRefusal *ret_refusal);
bool http_is_foreign(const Request *r);
const char *http_gate_allowed_origin(Request *r);

/* http-input.c */
int http_input_merge(Request *r, sd_bus_error *error);

/* http-rate.c: the limits as the settings have them; whether a request may go on, else it has a reply. */
int http_rates_apply(HttpServer *h);
void http_rates_done(HttpServer *h);
bool http_rate_admit(Request *r);

/* upgrade.c: whether the socket was somebody's, who is told that it goes; the end of the request. */
bool http_upgrade_abort(Request *r);
void http_upgrade_done(Request *r);

/* http-reply.c */
/* Takes response, NULL when memory is short. */
int http_take_response(Request *r, unsigned status, const char *content_type, struct MHD_Response *response);
int http_reply_refusal(Request *r, const HttpRefusal *refusal);
int http_reply_not_found(Request *r, int error);
int http_reply_preflight(Request *r);
