/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/http/http-private.h"
#include "sandboxd/http/http-stream.h"
#include "sandboxd/http/route-prefix.h"

/* libmicrohttpd calls us once when the headers are there, then with each piece of the body, and once more, without
 * data, when the request is whole. Only in the first and the last call a reply can be queued; an error in the middle
 * of a body goes to the socket directly and ends the connection. */

Request *http_request_new(HttpConnection *c, const char *target) {
        _cleanup_(http_request_freep) Request *r = NULL;
        char *query;

        if (c->request) /* cannot be: one at a time */
                return NULL;
        r = new0(Request, 1);
        if (!r)
                return NULL;
        *r = (Request) { .server = c->server, .connection = c, .principal = "" };
        r->target = strndup(target, HTTP_TARGET_MAX + 1);
        if (!r->target)
                return NULL;
        r->started_usec = c->head_since_usec > 0 ? c->head_since_usec : now_usec(CLOCK_MONOTONIC);
        r->begun_usec = r->started_usec;
        r->target_size = strlen(target);
        r->target_clean = http_target_is_clean(target);
        query = strchr(r->target, '?');
        if (query)
                *query++ = 0;
        r->query_text = query;
        http_connection_unwatch(c);
        service_hold(c->server->options.service);
        return c->request = TAKE_PTR(r);
}

static void drop_body(Request *r) {
        r->server->body_bytes -= r->body_allocated;
        r->body_allocated = r->body_size = 0;
        r->body = mfree(r->body);
}

Request *http_request_free(Request *r) {
        if (r) {
                drop_body(r);
                if (r->guard_data)
                        r->server->options.guard->ended(r);
                route_match_done(&r->match);
                json_decref(r->query);
                json_decref(r->input);
                if (r->response)
                        MHD_destroy_response(r->response);
                strv_free(r->headers);
                free(r->error_text);
                auth_free(r->auth);
                free(r->target);
                free(r);
        }
        return NULL;
}

static void tell_gone(Request *r) {
        void (*callback)(Request *, void *) = TAKE_PTR(r->on_gone);

        if (callback)
                callback(r, r->on_gone_userdata);
}

/* Of those that may ask at all: who has no token must not fill what is remembered. */
void http_request_tell_outcome(const Request *r, unsigned status) {
        const HttpServerOptions *o = &r->server->options;

        if (status > 0 && status < HTTP_STATUS_END)
                r->server->statuses[status]++;
        if (o->on_outcome && r->admitted && !(r->match.route->flags & ROUTE_NO_AUTH))
                o->on_outcome(&(HttpOutcome) { .table = r->match.table, .route = r->match.route, .sandbox = r->sandbox,
                                               .error = r->error_text, .status = status,
                                               .duration_usec = now_usec(CLOCK_MONOTONIC) - r->begun_usec },
                              o->userdata);
}

void http_request_completed(Request *r) {
        HttpConnection *c = r->connection;

        /* When the reply is with the kernel: the journal takes its time, and the client need not wait for it. */
        http_audit(r, r->phase >= REQUEST_REPLYING ? r->status : 0);
        if (!r->handed_over)
                tell_gone(r);
        if (r->phase != REQUEST_UPGRADED)
                http_request_tell_outcome(r, r->phase == REQUEST_REPLYING || r->response ? r->status : 0);
        http_stream_detach(r);
        http_upgrade_done(r);
        http_connection_unwatch(c);
        c->request = NULL;
        c->idle_since_usec = now_usec(CLOCK_MONOTONIC);
        c->head_since_usec = c->hangup_usec = 0;
        service_release(r->server->options.service);
        http_request_free(r);
}

void http_request_resume(Request *r) {
        if (!r->suspended)
                return;
        r->suspended = false;
        http_connection_unwatch(r->connection);
        MHD_resume_connection(r->connection->mhd);
        /* Nothing becomes readable by that. */
        (void) sd_event_source_set_enabled(r->server->mhd_defer, SD_EVENT_ONESHOT);
}

static enum MHD_Result suspend(Request *r) {
        r->suspended = true;
        MHD_suspend_connection(r->connection->mhd);
        return MHD_YES;
}

/* The handler is told now; libmicrohttpd lets the connection go when it calls us next, or sees the end of the file. */
void http_request_abort(Request *r) {
        if (r->broken || http_upgrade_abort(r))
                return;
        r->broken = true;
        if (!r->handed_over)
                tell_gone(r);
        if (r->suspended)
                http_request_resume(r);
        else
                http_connection_shut(r->connection);
}

/* The handler's result becomes a reply, unless there is one or it comes later. */
static void settle(Request *r, int result, sd_bus_error *error) {
        if (result >= 0 || r->response || r->broken)
                return;
        if (sd_bus_error_is_set(error))
                (void) request_reply_error(r, error);
        else
                (void) request_reply_errno(r, result);
}

/* What was replied is not to be: what it tells of could not be kept. */
static void take_back(Request *r, int result, sd_bus_error *error) {
        if (r->response)
                MHD_destroy_response(TAKE_PTR(r->response));
        settle(r, result, error);
}

static int guard_request(Request *r, sd_bus_error *error) {
        const RequestGuard *guard = r->server->options.guard;

        return guard && r->match.route->flags & ROUTE_CREATES ? guard->begin(r, error) : 1;
}

static void call_handler(Request *r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int result;

        result = http_input_merge(r, &error);
        if (result >= 0)
                result = guard_request(r, &error);
        if (result > 0)
                result = r->match.route->handler(r, &error);
        if (result == 0 && !r->response && !r->broken) /* it promised a reply */
                result = -EPROTO;
        settle(r, result, &error);
        if (r->guard_data) {
                result = r->server->options.guard->handled(r, &error);
                if (result < 0)
                        take_back(r, result, &error);
        }
}

static bool authenticate(Request *r) {
        static const HttpRefusal limited = { 429, "rate_limited", "Too many failed authentications", false };
        HttpRefusal refusal = {};
        AuthResult result;

        if (r->connection->kind == LISTENER_UNIX) {
                r->principal = r->connection->peer;
                return true;
        }
        if (r->open || r->match.route->flags & ROUTE_NO_AUTH || !auth_is_enabled(r->server->options.auth))
                return true;
        r->auth = auth_ref(r->server->options.auth);
        result = auth_check(r->auth, r->head.authorization, r->connection->peer, &r->principal);
        if (result == AUTH_OK)
                return true;

        (void) request_add_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
        if (result == AUTH_MISSING)
                refusal = (HttpRefusal) { r->dialect->missing_token_status, "unauthorized",
                                          "Missing authorization header", false };
        else if (result == AUTH_WRONG)
                refusal = (HttpRefusal) { r->dialect->wrong_token_status, "forbidden", "Invalid token", false };
        if (result == AUTH_LIMITED)
                (void) request_add_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
        r->audited = result == AUTH_LIMITED; /* who guesses must not fill the log */
        (void) http_reply_refusal(r, result == AUTH_LIMITED ? &limited : &refusal);
        return false;
}

/* What announces more is refused before a byte of it is read. */
static bool limit_body(Request *r) {
        static const HttpRefusal too_large = { 413, "too_large", "The request body is too large", false };
        const Settings *settings = r->server->options.settings;
        unsigned flags = r->match.route->flags;
        uint64_t max = settings->body_max;

        if (flags & ROUTE_BODY_STREAM)
                max = settings->upload_max;
        else if (flags & ROUTE_LARGE_BODY)
                max = MAX(settings->body_max, HTTP_LARGE_BODY_MAX);
        r->body_max = max;
        if (!r->head.has_body || r->head.body_size == UINT64_MAX || r->head.body_size <= max)
                return true;
        (void) http_reply_refusal(r, &too_large);
        return false;
}

/* Everything that is decided by the head. May leave a reply. */
static void examine_head(Request *r, const char *url, const char *version) {
        const HttpRequestLine line = { r->method, url, version, r->target_size, r->target_clean };
        const HttpServerOptions *o = &r->server->options;
        const char *method = streq(r->method, "HEAD") ? "GET" : r->method;
        HttpRefusal refusal;
        int result;

        r->dialect = dialect_of_path(o->tables, o->n_tables, r->target);
        if (!http_check_head(r->connection->mhd, &line, &r->head, &refusal)) {
                (void) http_reply_refusal(r, &refusal);
                return;
        }
        /* libmicrohttpd leaves the body of a reply to HEAD away by itself. */
        result = route_find(o->tables, o->n_tables, method, r->target, &r->match);
        if (!http_gate_passes(r, &refusal)) {
                if (!r->response)
                        (void) http_reply_refusal(r, &refusal);
                return;
        }
        if (streq(r->method, MHD_HTTP_METHOD_OPTIONS) && r->head.origin &&
            (!http_is_foreign(r) || request_header(r, "Access-Control-Request-Method"))) {
                (void) http_reply_preflight(r);
                return;
        }
        if (result < 0)
                (void) http_reply_not_found(r, result);
        else if ((r->admitted = authenticate(r)) && http_rate_admit(r) && limit_body(r) &&
                 r->match.route->flags & ROUTE_BODY_STREAM) {
                call_handler(r);
                if (!r->response && !r->has_sink)
                        (void) request_reply_errno(r, -EPROTO);
        }
}

/* A reply before the body has arrived. A short body is read and dropped, so that the connection can go on; otherwise
 * the connection ends after the reply. */
static bool must_reply_early(const Request *r) {
        if (!r->response)
                return false;
        return r->close || (r->head.has_body && (r->head.expect ||
                                                 r->head.body_size > r->server->options.settings->body_max));
}

static enum MHD_Result on_head(Request *r, const char *method, const char *url, const char *version) {
        r->method = method;
        r->http_1_1 = streq_ptr(version, "HTTP/1.1");
        examine_head(r, url, version);
        if (must_reply_early(r)) {
                r->close = true;
                r->connection->linger = true;
                return http_request_queue(r) < 0 ? MHD_NO : MHD_YES;
        }
        r->phase = REQUEST_BODY;
        r->started_usec = r->progress_usec = now_usec(CLOCK_MONOTONIC);
        return MHD_YES;
}

/* Doubles, but takes an announced length at once up to 1 MiB: an announcement alone must not cost more. */
static int grow_body(Request *r, size_t n) {
        HttpServer *h = r->server;
        size_t want;
        char *larger;

        if (n > r->body_max - MIN(r->body_size, r->body_max))
                return bus_error_to_errno(BUS_ERROR_TOO_LARGE) * -1;
        if (r->body_size + n <= r->body_allocated)
                return 0;
        want = MAX(r->body_size + n, MIN(r->body_allocated * 2, r->body_max));
        if (r->body_allocated == 0 && r->head.body_size != UINT64_MAX)
                want = MAX(want, MIN(r->head.body_size, MiB));
        if (h->body_bytes + want - r->body_allocated > HTTP_BODIES_MAX)
                return -EAGAIN;
        larger = realloc(r->body, want);
        if (!larger)
                return -ENOMEM;
        h->body_bytes += want - r->body_allocated;
        r->body_allocated = want;
        r->body = larger;
        return 0;
}

static void keep_body(Request *r, const char *data, size_t n) {
        static const HttpRefusal too_large = { 413, "too_large", "The request body is too large", true };
        static const HttpRefusal busy = { 503, "unavailable", "Too many large requests at once", true };
        int result;

        result = grow_body(r, n);
        if (result < 0) {
                (void) http_reply_refusal(r, result == -EFBIG ? &too_large : &busy);
                return;
        }
        memcpy(r->body + r->body_size, data, n);
        r->body_size += n;
}

static enum MHD_Result feed_sink(Request *r, const char *data, size_t *n) {
        static const HttpRefusal too_large = { 413, "too_large", "The upload is too large", true };
        ssize_t used;

        if (r->body_received > r->body_max) {
                (void) http_reply_refusal(r, &too_large);
                return MHD_NO;
        }
        used = r->sink.write(r->sink.userdata, data, *n);
        if (r->broken)
                return MHD_NO;
        if (used < 0) {
                (void) request_reply_errno(r, (int) used);
                return MHD_NO;
        }
        *n -= (size_t) used;
        if (*n == 0)
                return MHD_YES;
        r->body_waits = true;
        return suspend(r);
}

static enum MHD_Result on_body(Request *r, const char *data, size_t *n) {
        enum MHD_Result result;

        r->body_received += *n;
        if (r->has_sink && !r->response) {
                result = feed_sink(r, data, n);
                r->body_received -= *n; /* what was left over is offered again */
                return result;
        }
        if (!r->response) /* else it is refused already, and dropped */
                keep_body(r, data, *n);
        *n = 0;
        return r->broken ? MHD_NO : MHD_YES;
}

/* The request is whole. */
static enum MHD_Result on_whole(Request *r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r->phase == REQUEST_BODY) {
                r->phase = REQUEST_WAITING;
                if (!r->response && r->has_sink)
                        settle(r, r->sink.end(r->sink.userdata, &error), &error);
                else if (!r->response)
                        call_handler(r);
        }
        if (!r->response)
                return suspend(r);
        return http_request_queue(r) < 0 ? MHD_NO : MHD_YES;
}

enum MHD_Result http_request_access(Request *r, const char *method, const char *url, const char *version,
                                    const char *data, size_t *n) {
        enum MHD_Result result;

        if (r->broken)
                return MHD_NO;
        r->server->in_access = true;
        if (r->phase == REQUEST_HEAD)
                result = on_head(r, method, url, version);
        else if (*n > 0)
                result = on_body(r, data, n);
        else
                result = on_whole(r);
        r->server->in_access = false;
        return result;
}

void *request_userdata(Request *r) {
        return r->server->options.userdata;
}

const Route *request_route(const Request *r) {
        return r->match.route;
}

const char *request_method(const Request *r) {
        return r->method;
}

const char *request_path(const Request *r) {
        return r->target;
}

void *request_guard_data(const Request *r) {
        return r->guard_data;
}

void request_set_guard_data(Request *r, void *data) {
        r->guard_data = data;
}

const char *request_path_value(const Request *r, const char *name) {
        for (size_t i = 0; i < r->match.n_values; i++)
                if (streq(r->match.names[i], name))
                        return r->match.values[i];
        return NULL;
}

const char *request_query_text(const Request *r) {
        return r->query_text;
}

/* Segments were counted in the raw path when the route was found, so they can be counted again. */
const char *request_path_rest(const Request *r) {
        const char *rest = path_below_prefix(r->target, r->match.table->prefix);

        for (const char *p = r->match.route->path; rest && *p == '/' && p[1] != '*'; p += 1 + strcspn(p + 1, "/"))
                rest = *rest == '/' ? rest + 1 + strcspn(rest + 1, "/") : NULL;
        return rest ?: "";
}

typedef struct HeaderWalk {
        void (*handler)(const char *name, const char *value, void *userdata);
        void *userdata;
} HeaderWalk;

static enum MHD_Result on_each_header(void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        HeaderWalk *walk = userdata;

        (void) kind;
        walk->handler(name, value ?: "", walk->userdata);
        return MHD_YES;
}

int request_foreach_header(const Request *r, void (*handler)(const char *name, const char *value, void *userdata),
                           void *userdata) {
        HeaderWalk walk = { handler, userdata };

        return MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, on_each_header, &walk);
}

const char *request_query(const Request *r, const char *name) {
        return json_string_value(json_object_get(r->query, name));
}

const char *request_header(const Request *r, const char *name) {
        return MHD_lookup_connection_value(r->connection->mhd, MHD_HEADER_KIND, name);
}

const char *request_principal(const Request *r) {
        return r->principal;
}

void request_set_sandbox(Request *r, const char *id) {
        (void) snprintf(r->sandbox, sizeof r->sandbox, "%s", id);
}

json_t *request_input(Request *r) {
        return r->input;
}

void request_on_gone(Request *r, void (*callback)(Request *r, void *userdata), void *userdata) {
        r->on_gone = callback;
        r->on_gone_userdata = userdata;
}

void request_get_figures(const Request *r, HttpFigures *ret) {
        *ret = (HttpFigures) { .connections = r->server->n_connections, .connections_max = r->server->connections_max,
                               .statuses = r->server->statuses, .n_statuses = HTTP_STATUS_END };
}
