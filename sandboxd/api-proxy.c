/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api-proxy.h"
#include "sandboxd/exchange.h"
#include "sandboxd/http/http-check.h"
#include "sandboxd/proxy-head.h"
#include "sandboxd/proxy.h"

/* The proxy's envelope (a request in a JSON body, its answer in another), its settings and its signed URLs. What goes
 * through it as it is: api-proxy-pass.c. */

#define ANSWER_MAX (10 * MiB)
#define PATH_MAX_BYTES 4096.0
#define EXPIRES_IN_DEFAULT_SEC 3600
#define EXPIRES_IN_MAX_SEC (7.0 * 24 * 3600)

int api_get_proxied(Request *request, Sandbox **ret_sandbox, uint16_t *ret_port, sd_bus_error *error) {
        const char *port = request_path_value(request, "port");
        int r;

        r = proxy_parse_port(port ?: "", ret_port, error);
        if (r >= 0)
                r = api_get_sandbox(request, NEED_RUNNING, ret_sandbox, error);
        if (r >= 0)
                r = proxy_check_port(request_userdata(request), *ret_sandbox, *ret_port, error);
        return r;
}

int api_check_proxied_method(const char *method, sd_bus_error *error) {
        if (!http_is_token(method, strlen(method)) || strlen(method) > 16)
                return bus_error_set(error, BUS_ERROR_INVALID, "method must be a method of HTTP");
        if (streq(method, "CONNECT") || streq(method, "TRACE"))
                return bus_error_set(error, BUS_ERROR_INVALID, "method %s does not go through a proxy", method);
        return 0;
}

/* --- the envelope */

typedef struct EnvelopeInput {
        char *method, *path, *body, **headers;
} EnvelopeInput;

static const JsonField envelope_fields[] = {
        { "body",    JSON_FIELD_STRING, offsetof(EnvelopeInput, body),    0, 0, 0, "sent unless the method is GET or HEAD" },
        { "headers", JSON_FIELD_MAP,    offsetof(EnvelopeInput, headers), 0, 0, 0, "for the server" },
        { "method",  JSON_FIELD_STRING, offsetof(EnvelopeInput, method),  0, 0, 16, "default: GET" },
        { "path",    JSON_FIELD_STRING, offsetof(EnvelopeInput, path),    0, 0, PATH_MAX_BYTES,
          "begins with a slash, and may have a query" },
};
const JsonTable proxy_envelope_table = JSON_TABLE(envelope_fields);

typedef struct Envelope {
        Request *request;       /* NULL: the client is gone */
        Exchange *exchange;
        char *url, *answer;
        size_t n_answer, allocated;
        json_t *headers;
        unsigned status;
} Envelope;

static Envelope *envelope_free(Envelope *e) {
        if (e) {
                if (e->request)
                        request_on_gone(e->request, NULL, NULL);
                exchange_free(e->exchange);
                json_decref(e->headers);
                free(e->url);
                free(e->answer);
                free(e);
        }
        return NULL;
}
DEFINE_CLEANUP(Envelope *, envelope_free)

static void on_client_gone(Request *request, void *userdata) {
        Envelope *e = userdata;

        (void) request;
        e->request = NULL;
        envelope_free(e);
}

static Request *take_request(Envelope *e) {
        Request *request = TAKE_PTR(e->request);

        request_on_gone(request, NULL, NULL);
        return request;
}

static void on_failed(const sd_bus_error *error, void *userdata) {
        Envelope *e = userdata;

        (void) request_reply_error(take_request(e), error);
        envelope_free(e);
}

static void fail(Envelope *e, const char *text) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) bus_error_set(&error, BUS_ERROR_UPSTREAM, "%s", text);
        on_failed(&error, e);
}

/* Bytes that are not UTF-8 have no form in JSON: each becomes U+FFFD, as in all texts of sandboxes. */
static void reply(Envelope *e) {
        _cleanup_free_ char *body = utf8_sanitize(e->answer ?: "", e->n_answer);
        json_t *object = json_pack("{s:i, s:O, s:s*, s:s}", "statusCode", (int) e->status, "headers", e->headers, "body",
                                   body, "url", e->url);

        (void) request_reply_json(take_request(e), 200, object);
        envelope_free(e);
}

static ssize_t read_some(Envelope *e) {
        ssize_t n;

        if (e->allocated - e->n_answer < 4 * KiB) {
                size_t wanted = MIN(MAX(e->allocated * 2, 16 * KiB), ANSWER_MAX + 4 * KiB);
                char *larger = realloc(e->answer, wanted);

                if (!larger)
                        return -ENOMEM;
                e->answer = larger;
                e->allocated = wanted;
        }
        n = exchange_read(e->exchange, e->answer + e->n_answer, e->allocated - e->n_answer);
        if (n > 0)
                e->n_answer += (size_t) n;
        return n;
}

static void on_readable(void *userdata) {
        Envelope *e = userdata;
        ssize_t n;

        while ((n = read_some(e)) > 0)
                if (e->n_answer > ANSWER_MAX)
                        return fail(e, "The answer of the server is larger than 10 MiB");
        if (n == -ENODATA)
                reply(e);
        else if (n < 0)
                fail(e, "The answer of the server is not whole");
}

static void add_header(json_t *headers, const ResponseField *field) {
        _cleanup_free_ char *name = strdup(field->name), *value = utf8_sanitize(field->value, strlen(field->value));

        for (char *p = name; p && *p; p++)
                *p = (char) tolower((unsigned char) *p);
        if (name && value)
                (void) json_object_set_new(headers, name, json_string(value));
}

static void on_head(const ResponseHead *head, void *userdata) {
        Envelope *e = userdata;

        e->status = head->status;
        for (size_t i = 0; i < head->n_fields; i++)
                add_header(e->headers, head->fields + i);
        on_readable(e);
}

static void on_writable(void *userdata) {
        (void) userdata; /* the body went along with the head */
}

static const ExchangeHandlers envelope_handlers = {
        .on_head = on_head,
        .on_readable = on_readable,
        .on_writable = on_writable,
        .on_failed = on_failed,
};

static int check_path(const char *path, sd_bus_error *error) {
        if (*path != '/')
                return bus_error_set(error, BUS_ERROR_INVALID, "path must start with '/'");
        if (!http_target_is_clean(path))
                return bus_error_set(error, BUS_ERROR_INVALID, "path must not contain white space or control characters");
        return 0;
}

static bool value_is_clean(const char *s) {
        for (; *s; s++)
                if (((unsigned char) *s < 0x20 && *s != '\t') || *s == 0x7f)
                        return false;
        return true;
}

static int add_given_headers(ProxyHead *h, char *const *headers, sd_bus_error *error) {
        STRV_FOREACH(s, headers) {
                const char *equals = strchr(*s, '=');
                _cleanup_free_ char *name = strndup(*s, (size_t) (equals - *s));

                if (!name)
                        return -ENOMEM;
                if (!http_is_token(name, strlen(name)) || !value_is_clean(equals + 1))
                        return bus_error_set(error, BUS_ERROR_INVALID, "headers has a field that is none of HTTP");
                proxy_head_add(h, name, equals + 1);
        }
        if (strv_length((char **) headers) > HTTP_HEADERS_MAX || h->n > HTTP_HEAD_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "headers has too much of them");
        return 0;
}

/* Head and body in one piece. */
static int make_request(const EnvelopeInput *in, uint16_t port, ProxyHead *h, sd_bus_error *error) {
        const char *body = isempty(in->body) || streq(in->method, "GET") || streq(in->method, "HEAD") ? "" : in->body;
        int r;

        h->port = port;
        proxy_head_begin(h, in->method, in->path, /* query= */ NULL);
        r = add_given_headers(h, in->headers, error);
        if (r < 0)
                return r;
        proxy_head_end(h, strlen(body), /* upgrade= */ NULL);
        proxy_head_append(h, body, strlen(body));
        return h->failed ? -ENOMEM : 0;
}

static bool is_repeatable(const EnvelopeInput *in) {
        return streq(in->method, "GET") || streq(in->method, "HEAD") || streq(in->method, "OPTIONS");
}

static int envelope_start(Request *request, const EnvelopeInput *in, Sandbox *s, uint16_t port, sd_bus_error *error) {
        _cleanup_(envelope_freep) Envelope *e = new0(Envelope, 1);
        _cleanup_(proxy_head_done) ProxyHead h = {};
        Manager *m = request_userdata(request);
        ExchangeOptions options;
        ProxyConfig config;
        int r;

        if (!e)
                return -ENOMEM;
        e->headers = json_object();
        if (!e->headers || asprintf(&e->url, "http://localhost:%u%s", port, in->path) < 0)
                return -ENOMEM;
        r = make_request(in, port, &h, error);
        if (r < 0)
                return r;
        proxy_get_config(s, &config);
        options = (ExchangeOptions) { .sandbox = s, .port = port, .n_head = h.n, .head = TAKE_PTR(h.text),
                                      .is_head = streq(in->method, "HEAD"), .timeout_usec = config.timeout_usec,
                                      .in_all = true, .repeatable = is_repeatable(in),
                                      .handlers = &envelope_handlers, .userdata = e };
        r = exchange_new(m->exchanges, &options, &e->exchange);
        if (r < 0)
                return api_unavailable(r, error);
        e->request = request;
        request_on_gone(request, on_client_gone, e);
        TAKE_PTR(e);
        return 1;
}

static int run_envelope(Request *request, void *input, sd_bus_error *error) {
        EnvelopeInput *in = input;
        uint16_t port;
        Sandbox *s;
        int r = 0;

        for (char *p = in->method; *p; p++)
                *p = (char) toupper((unsigned char) *p);
        if (isempty(in->path))
                r = free_and_strdup(&in->path, "/");
        if (r >= 0)
                r = api_check_proxied_method(in->method, error);
        if (r >= 0)
                r = check_path(in->path, error);
        if (r >= 0)
                r = api_get_proxied(request, &s, &port, error);
        return r < 0 ? r : envelope_start(request, in, s, port, error);
}

int api_proxy_envelope(Request *request, sd_bus_error *error) {
        static const ApiInput route = { envelope_fields, ELEMENTSOF(envelope_fields), run_envelope };
        EnvelopeInput in = { .method = strdup("GET") };

        return in.method ? api_with_input(request, &route, &in, error) : -ENOMEM;
}

/* --- its settings */

typedef struct ConfigValues {
        char *cors;
        bool require_auth;
        int64_t timeout;
} ConfigValues;

static const JsonField config_fields[] = {
        { "cors",        JSON_FIELD_STRING, offsetof(ConfigValues, cors),         0, 0, 1024,
          "pages that may read what is shown: *, or origins with commas between" },
        { "requireAuth", JSON_FIELD_BOOL,   offsetof(ConfigValues, require_auth), 0, 0, 0,
          "false: no token is asked for, where SANDBOX_PROXY_PUBLIC allows it" },
        { "timeout",     JSON_FIELD_INT,    offsetof(ConfigValues, timeout),      0, 1, PROXY_TIMEOUT_MAX_MSEC,
          "milliseconds of silence of the server" },
};
const JsonTable proxy_config_table = JSON_TABLE(config_fields);

static bool is_given(Request *request, const char *name) {
        json_t *value = json_object_get(request_input(request), name);

        return value && !json_is_null(value);
}

static json_t *given_fields(Request *request, const ConfigValues *v) {
        json_t *fields = json_object();

        if (fields && v->cors)
                (void) json_object_set_new(fields, "cors", json_string(v->cors));
        if (fields && is_given(request, "requireAuth"))
                (void) json_object_set_new(fields, "requireAuth", json_boolean(v->require_auth));
        if (fields && is_given(request, "timeout"))
                (void) json_object_set_new(fields, "timeout", json_integer(v->timeout));
        return fields;
}

static int run_config(Request *request, void *input, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *fields = NULL;
        Manager *m = request_userdata(request);
        const ConfigValues *v = input;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        if (v->cors && !proxy_cors_is_valid(v->cors))
                return bus_error_set(error, BUS_ERROR_INVALID, "cors must be * or origins with commas between");
        fields = given_fields(request, v);
        if (!fields)
                return -ENOMEM;
        r = proxy_set_config(m, s, fields);
        if (r < 0)
                return r;
        if (json_object_size(fields) > 0)
                event_publish(m, "proxy.configured", s->public_id, json_incref(fields));
        return request_reply_json(request, 200, proxy_config_to_json(m, s));
}

int api_proxy_config(Request *request, sd_bus_error *error) {
        static const ApiInput route = { config_fields, ELEMENTSOF(config_fields), run_config };
        ConfigValues values = {};

        return api_with_input(request, &route, &values, error);
}

/* --- signed URLs */

typedef struct UrlInput {
        int64_t port, expires_in;
        char *path;
} UrlInput;

static const JsonField url_fields[] = {
        { "expiresIn", JSON_FIELD_INT,    offsetof(UrlInput, expires_in), 0, 1, EXPIRES_IN_MAX_SEC, "seconds" },
        { "path",      JSON_FIELD_STRING, offsetof(UrlInput, path),       0, 0, 1024,
          "of what is shown: it and all below it; may have a query" },
        { "port",      JSON_FIELD_INT,    offsetof(UrlInput, port),       JSON_FIELD_MANDATORY, 1, UINT16_MAX,
          "that the server listens on" },
};
const JsonTable proxy_url_table = JSON_TABLE(url_fields);

/* A client of the local socket calls us by no address. */
static void own_address(Request *request, char *ret, size_t size) {
        const Manager *m = request_userdata(request);
        const char *host = request_header(request, "Host");

        if (host && !startswith(request_principal(request), "unix:"))
                snprintf(ret, size, "http://%s", host);
        else
                snprintf(ret, size, "http://127.0.0.1:%u", m->settings.rest_port);
}

static int reply_url(Request *request, Sandbox *s, const ProxyGrant *grant, const char *query) {
        char signature[PROXY_SIGNATURE_SIZE], address[300];
        _cleanup_free_ char *base = NULL;
        int r;

        r = proxy_base(request_userdata(request), s, grant->port, &base);
        if (r >= 0)
                r = proxy_sign(request_userdata(request), grant, signature);
        if (r < 0)
                return r;
        own_address(request, address, sizeof address);
        /* That somebody is let in, but not how: the signature is the key. */
        event_publish(request_userdata(request), "proxy.shared", s->public_id,
                      json_pack("{s:i, s:o, s:I}", "port", grant->port, "path",
                                json_stringn(grant->path, grant->n_path), "expiresAt",
                                (json_int_t) (grant->expires_sec * 1000)));
        return request_reply_json(request, 200,
                                  json_pack("{s:o, s:I}", "url",
                                            json_sprintf("%s%s%.*s%s%s" PROXY_SIGNATURE_NAME "=%s", address, base,
                                                         (int) grant->n_path, grant->path, *query ? query : "?",
                                                         *query ? "&" : "", signature),
                                            "expiresAt", (json_int_t) (grant->expires_sec * 1000)));
}

static int run_url(Request *request, void *input, sd_bus_error *error) {
        const UrlInput *in = input;
        const char *path = isempty(in->path) ? "/" : in->path;
        ProxyGrant grant = { .port = (uint16_t) in->port, .path = path, .n_path = strcspn(path, "?") };
        Sandbox *s;
        int r;

        r = check_path(path, error);
        if (r >= 0 && strchr(path, '#'))
                r = bus_error_set(error, BUS_ERROR_INVALID, "path must not have a fragment");
        if (r >= 0)
                r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = proxy_check_port(request_userdata(request), s, grant.port, error);
        if (r < 0)
                return r;
        grant.sandbox = s->public_id;
        grant.expires_sec = now_usec(CLOCK_REALTIME) / USEC_PER_SEC + (uint64_t) in->expires_in;
        return reply_url(request, s, &grant, path + grant.n_path);
}

int api_proxy_url(Request *request, sd_bus_error *error) {
        static const ApiInput route = { url_fields, ELEMENTSOF(url_fields), run_url };
        UrlInput in = { .expires_in = EXPIRES_IN_DEFAULT_SEC };

        return api_with_input(request, &route, &in, error);
}
