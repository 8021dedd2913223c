/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/http/http-private.h"
#include "sandboxd/http/http-stream.h"

/* A reply is only kept here; http_request_queue() hands it over when libmicrohttpd asks, which a resumed connection
 * makes it do. */

#define JSON_TYPE "application/json"
#define STREAM_TYPE "text/event-stream"
#define FILE_BLOCK_BYTES (64 * KiB)
#define ERROR_TEXT_MAX 256U

static void add_cors_headers(Request *r) {
        const Settings *settings = r->server->options.settings;
        const char *allowed = http_gate_allowed_origin(r);

        if (allowed) {
                (void) MHD_add_response_header(r->response, "Access-Control-Allow-Origin", allowed);
                (void) MHD_add_response_header(r->response, "Vary", "Origin");
                return;
        }
        if (isempty(settings->cors_origins))
                return;
        if (streq(settings->cors_origins, "*"))
                (void) MHD_add_response_header(r->response, "Access-Control-Allow-Origin", "*");
        else {
                if (r->head.origin && http_origin_is_allowed(r->head.origin, settings))
                        (void) MHD_add_response_header(r->response, "Access-Control-Allow-Origin", r->head.origin);
                (void) MHD_add_response_header(r->response, "Vary", "Origin");
        }
}

/* libmicrohttpd takes one reference, the other one is dropped with the request. */
int http_request_queue(Request *r) {
        assert(r->response);

        for (char **h = r->headers; h && h[0]; h += 2)
                (void) MHD_add_response_header(r->response, h[0], h[1]);
        (void) MHD_add_response_header(r->response, "X-Content-Type-Options", "nosniff");
        if (!MHD_get_response_header(r->response, "Cache-Control"))
                (void) MHD_add_response_header(r->response, "Cache-Control",
                                               r->event_stream ? "no-cache, no-store" : "no-store");
        if (r->close)
                (void) MHD_add_response_header(r->response, "Connection", "close");
        add_cors_headers(r);

        if (r->stream)
                http_audit(r, r->status); /* its end may be far away */
        r->phase = REQUEST_REPLYING;
        r->replying_usec = r->progress_usec = now_usec(CLOCK_MONOTONIC);
        r->progress = UINT64_MAX;
        if (!r->stream)
                r->handed_over = true;
        if (MHD_queue_response(r->connection->mhd, r->status, r->response) != MHD_YES) {
                log_debug("libmicrohttpd takes no reply with status %u.", r->status);
                return -EPROTO;
        }
        return 0;
}

int http_take_response(Request *r, unsigned status, const char *content_type, struct MHD_Response *response) {
        if (!response) {
                http_request_abort(r);
                return -ENOMEM;
        }
        if (r->response || r->broken || r->phase == REQUEST_BODY) {
                MHD_destroy_response(response);
                return -EALREADY;
        }
        if (content_type)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        r->response = response;
        r->status = status;
        http_request_resume(r);
        return 0;
}

/* In the middle of a body nothing can be queued. */
static int reply_and_break(Request *r, unsigned status, const char *content_type, const char *text) {
        http_audit(r, status);
        http_send_raw(r->connection->fd, status, content_type, text);
        r->broken = r->handed_over = r->connection->linger = true;
        if (r->suspended)
                http_request_resume(r);
        else if (!r->server->in_access)
                (void) shutdown(r->connection->fd, SHUT_RD); /* wakes libmicrohttpd */
        return 0;
}

static void tell_guard(Request *r, unsigned status, const char *text, size_t n) {
        if (r->guard_data && !r->response && !r->broken)
                r->server->options.guard->replied(r, status, text, n);
}

int request_reply_bytes(Request *r, unsigned status, const char *content_type, char *bytes, size_t n) {
        struct MHD_Response *response;
        int result;

        tell_guard(r, status, bytes ? bytes : "", n);
        if (r->phase == REQUEST_BODY && !r->response && !r->broken) {
                char *text = strndup(bytes ? bytes : "", n);

                free(bytes);
                result = reply_and_break(r, status, content_type ? content_type : "text/plain", text ? text : "");
                free(text);
                return result;
        }
        response = MHD_create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);
        if (!response)
                free(bytes);
        return http_take_response(r, status, content_type, response);
}

static int reply_json(Request *r, unsigned status, json_t *body, size_t flags) {
        char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY | flags) : NULL;

        json_decref(body);
        if (!text) {
                http_request_abort(r);
                return -ENOMEM;
        }
        return request_reply_bytes(r, status, JSON_TYPE, text, strlen(text));
}

int request_reply_json(Request *r, unsigned status, json_t *body) {
        return reply_json(r, status, body, JSON_OWN_REALS);
}

int request_reply_json_exact(Request *r, unsigned status, json_t *body) {
        return reply_json(r, status, body, 0);
}

int request_reply_empty(Request *r, unsigned status) {
        return request_reply_bytes(r, status, NULL, NULL, 0);
}

/* libmicrohttpd can send a file by itself, with sendfile(). But when the file has become shorter in the meantime, it
 * tries again and again, at once: who truncates a file under a download would keep us busy for ever. Read by us, the
 * connection ends there, so that the client sees that something is missing. */
typedef struct FileReply {
        int fd;
        uint64_t offset;
} FileReply;

static ssize_t on_read_file(void *userdata, uint64_t position, char *buffer, size_t size) {
        FileReply *f = userdata;
        ssize_t n;

        do
                n = pread(f->fd, buffer, size, (off_t) (f->offset + position));
        while (n < 0 && errno == EINTR);
        return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void on_free_file(void *userdata) {
        FileReply *f = userdata;

        safe_close(f->fd);
        free(f);
}

int request_reply_file(Request *r, unsigned status, const char *content_type, int fd, uint64_t offset,
                       uint64_t size) {
        struct MHD_Response *response;
        FileReply *f;

        if (size == 0) {
                safe_close(fd);
                return request_reply_bytes(r, status, content_type, NULL, 0);
        }
        f = new0(FileReply, 1);
        if (!f) {
                safe_close(fd);
                return http_take_response(r, status, content_type, NULL);
        }
        *f = (FileReply) { fd, offset };
        response = MHD_create_response_from_callback(size, (size_t) MIN(size, (uint64_t) FILE_BLOCK_BYTES), on_read_file, f,
                                                     on_free_file);
        if (!response)
                on_free_file(f);
        return http_take_response(r, status, content_type, response);
}

int request_reply_stream(Request *r, unsigned status, const char *content_type, const ReplySource *source) {
        return request_reply_stream_sized(r, status, content_type, UINT64_MAX, source);
}

int request_reply_stream_sized(Request *r, unsigned status, const char *content_type, uint64_t size,
                               const ReplySource *source) {
        struct MHD_Response *response = NULL;
        int result;

        result = http_stream_new(r, source, size, &response);
        if (result < 0) {
                if (source->free)
                        source->free(source->userdata);
                http_request_abort(r);
                return result;
        }
        tell_guard(r, status, NULL, 0);
        r->event_stream = content_type && startswith(content_type, STREAM_TYPE);
        return http_take_response(r, status, content_type, response);
}

/* The one way to an error's body. */
static int reply_envelope(Request *r, unsigned status, const char *code, const char *message) {
        const Dialect *d = r->dialect ? r->dialect : &dialect_none;

        if (!r->error_text)
                r->error_text = strndup(message, ERROR_TEXT_MAX);
        return request_reply_json(r, status, d->envelope(status, code, message));
}

int request_reply_error(Request *r, const sd_bus_error *error) {
        const Dialect *d = r->dialect ? r->dialect : &dialect_none;
        const ErrorRow *row;

        row = dialect_find_error(d, error->name);
        if (!row) {
                log_error("%s %s failed: %s: %s", r->method, r->target, error->name,
                          error->message ? error->message : "");
                return reply_envelope(r, d->default_status, "internal", "Internal error");
        }
        if (startswith(error->name, "io.sandboxd.Error."))
                return reply_envelope(r, row->status, row->code, error->message ? error->message : "Failed");

        /* Said by the bus, not by us: the words are about our insides. */
        log_warning("%s %s failed: %s: %s", r->method, r->target, error->name, error->message ? error->message : "");
        return reply_envelope(r, row->status, row->code,
                              row->status == 504 ? "The operation timed out"
                              : row->status == 503 ? "The service is not available at the moment"
                                                   : "The request could not be carried out");
}

int request_reply_errno(Request *r, int error) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) sd_bus_error_set_errno(&e, error);
        return request_reply_error(r, &e);
}

int request_add_header(Request *r, const char *name, const char *value) {
        char **copy = NULL;
        int result;

        if (!http_is_token(name, strlen(name)) || value[strcspn(value, "\r\n")])
                return -EINVAL;
        result = strv_extend(&copy, name);
        if (result >= 0)
                result = strv_extend(&copy, value);
        for (char **s = copy; result >= 0 && s && *s; s++)
                result = strv_extend(&r->headers, *s);
        strv_free(copy);
        return result;
}

int http_reply_refusal(Request *r, const HttpRefusal *refusal) {
        if (refusal->close)
                r->close = true;
        return reply_envelope(r, refusal->status, refusal->code, refusal->message);
}

/* A dialect's clients expect no body here; elsewhere nobody expects anything. */
int http_reply_not_found(Request *r, int error) {
        const bool ours = r->dialect != &dialect_none;

        if (error == -EINVAL)
                return reply_envelope(r, 400, NULL, "The path is not valid");
        if (error == -EOPNOTSUPP)
                (void) request_add_header(r, MHD_HTTP_HEADER_ALLOW, r->match.allow);
        else if (error != -ENOENT)
                return request_reply_errno(r, error);
        if (ours)
                return request_reply_empty(r, error == -ENOENT ? 404 : 405);
        return reply_envelope(r, error == -ENOENT ? 404 : 405, NULL, "There is no such route");
}

int http_reply_preflight(Request *r) {
        static const char *const headers[][2] = {
                { "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS" },
                { "Access-Control-Max-Age",       "600"                                    },
        };
        const char *wanted = request_header(r, "Access-Control-Request-Headers");
        int result = 0;

        for (size_t i = 0; result >= 0 && i < ELEMENTSOF(headers); i++)
                result = request_add_header(r, headers[i][0], headers[i][1]);
        if (result >= 0)
                result = request_add_header(r, "Access-Control-Allow-Headers", wanted ? wanted : "*");
        return result < 0 ? request_reply_errno(r, result) : request_reply_empty(r, 200);
}
