/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api-proxy.h"
#include "sandboxd/exchange.h"
#include "sandboxd/http/upgrade.h"
#include "sandboxd/proxy-head.h"
#include "sandboxd/proxy.h"

/* Requests that go to a server in a sandbox as they are. Nothing is kept of either body: what the client sends is taken
 * as far as the server takes it, what the server sends is read as far as the client takes it, and the kernel's buffers
 * make the other side wait.
 *
 * libmicrohttpd has a reply only when the request is whole. A server that answers before has its answer wait for the rest
 * of the request, which is dropped if it was the last word. */

/* A request that came through us so often goes in a circle. */
#define VIA_MAX 3U

/* Gives a page an origin of its own: neither can its scripts call the API with what the user's browser knows, nor do two
 * servers in sandboxes see each other, though all have one host. */
#define PAGE_POLICY "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"

typedef struct Pass {
        Request *request;
        Exchange *exchange;
        Sandbox *sandbox;
        char *base, *content_type;
        uint16_t port;
        const char *upgrade;            /* what the client asks for */
        bool whole;                     /* the request */
        bool answered;
        unsigned status;
        uint64_t size;                  /* of the answer, UINT64_MAX: not known */
        bool bodyless;
} Pass;

static Pass *pass_free(Pass *p) {
        if (p) {
                exchange_free(p->exchange);
                sandbox_unref(p->sandbox);
                free(p->base);
                free(p->content_type);
                free(p);
        }
        return NULL;
}
DEFINE_CLEANUP(Pass *, pass_free)

static void on_client_gone(Request *request, void *userdata) {
        (void) request;
        pass_free(userdata);
}

/* --- the answer */

static ssize_t on_read(void *userdata, char *buffer, size_t size) {
        Pass *p = userdata;

        return exchange_read(p->exchange, buffer, size);
}

static void on_free(void *userdata) {
        pass_free(userdata);
}

static void reply_with_body(Pass *p) {
        ReplySource source = { .read = on_read, .free = on_free, .userdata = p };

        (void) request_reply_stream_sized(p->request, p->status, p->content_type, p->size, &source);
}

static void reply_without_body(Pass *p) {
        if (p->content_type)
                (void) request_add_header(p->request, "Content-Type", p->content_type);
        (void) request_reply_empty(p->request, p->status);
        pass_free(p);
}

static void join(Pass *p) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *data;
        size_t n;
        int fd, r;

        fd = exchange_take_socket(p->exchange, &data, &n);
        r = fd < 0 ? fd : proxy_join_sockets(p->request, p->sandbox, fd, data, n);
        if (r < 0) {
                (void) bus_error_set(&error, BUS_ERROR_UPSTREAM, "The connection could not be handed over");
                (void) request_reply_error(p->request, &error);
        }
        pass_free(p);
}

static void reply(Pass *p) {
        request_on_gone(p->request, NULL, NULL);
        if (p->status == 101)
                join(p);
        else if (p->bodyless && (!streq(request_method(p->request), "HEAD") || p->size == UINT64_MAX))
                reply_without_body(p);
        else
                reply_with_body(p);
}

static void pass_header(Pass *p, const ResponseHead *head, const ResponseField *field) {
        _cleanup_free_ char *value = NULL;

        if (proxy_response_field(head, field, p->base, p->port, &value) <= 0)
                return;
        if (strcasecmp(field->name, "Content-Type") == 0)
                (void) free_and_strdup(&p->content_type, value);
        else
                (void) request_add_header(p->request, field->name, value);
}

/* Who came with a signature in the URL gets it as a cookie, too: what the page refers to has none. */
static void set_cookie(Pass *p) {
        _cleanup_free_ char *signature = NULL, *text = NULL;
        ProxyGrant grant = { .sandbox = p->sandbox->public_id, .port = p->port };
        uint64_t now = now_usec(CLOCK_REALTIME) / USEC_PER_SEC;

        if (proxy_find_signature(request_query_text(p->request), "&", &signature) <= 0 ||
            proxy_verify(request_userdata(p->request), signature, request_path_rest(p->request), &grant) < 0)
                return;
        if (asprintf(&text, PROXY_SIGNATURE_NAME "=%s; Path=%s%.*s; Max-Age=%llu; HttpOnly; SameSite=Lax", signature,
                     p->base, (int) grant.n_path, grant.path, (unsigned long long) (grant.expires_sec - now)) < 0) {
                text = NULL;
                return;
        }
        (void) request_add_header(p->request, "Set-Cookie", text);
}

static void on_head(const ResponseHead *head, void *userdata) {
        Pass *p = userdata;

        for (size_t i = 0; i < head->n_fields; i++)
                pass_header(p, head, head->fields + i);
        (void) request_add_header(p->request, "Content-Security-Policy", PAGE_POLICY);
        (void) request_add_header(p->request, "Via", "1.1 sandboxd");
        set_cookie(p);
        p->answered = true;
        p->status = head->status;
        p->size = head->length;
        p->bodyless = head->framing == BODY_NONE;
        if (p->whole)
                reply(p);
        else
                request_body_wake(p->request);
}

static void on_readable(void *userdata) {
        Pass *p = userdata;

        request_stream_wake(p->request);
}

static void on_writable(void *userdata) {
        Pass *p = userdata;

        request_body_wake(p->request);
}

static void on_failed(const sd_bus_error *error, void *userdata) {
        Pass *p = userdata;

        request_on_gone(p->request, NULL, NULL);
        (void) request_reply_error(p->request, error);
        pass_free(p);
}

static const ExchangeHandlers handlers = {
        .on_head = on_head,
        .on_readable = on_readable,
        .on_writable = on_writable,
        .on_failed = on_failed,
};

/* --- the request */

static ssize_t on_data(void *userdata, const char *data, size_t n) {
        Pass *p = userdata;

        return p->answered ? (ssize_t) n : (ssize_t) exchange_write(p->exchange, data, n);
}

static int on_end(void *userdata, sd_bus_error *error) {
        Pass *p = userdata;

        (void) error;
        p->whole = true;
        exchange_end_body(p->exchange);
        if (p->answered)
                reply(p);
        return 1;
}

static void add_header(const char *name, const char *value, void *userdata) {
        proxy_head_add(userdata, name, value);
}

static int make_head(Request *request, Pass *p, ProxyHead *h) {
        _cleanup_free_ char *query = NULL, *prefix = NULL;
        int r;

        r = proxy_strip_query(request_query_text(request), &query);
        if (r < 0)
                return r;
        h->transparent = true;
        h->port = p->port;
        h->own_host = request_header(request, "Host");
        h->connection = request_header(request, "Connection");
        h->via = request_header(request, "Via");
        proxy_head_begin(h, request_method(request), request_path_rest(request), query);
        (void) request_foreach_header(request, add_header, h);
        proxy_head_add_own(h, "X-Forwarded-Prefix", p->base);
        proxy_head_end(h, request_body_size(request), p->upgrade);
        return h->failed ? -ENOMEM : 0;
}

static bool is_repeatable(const Request *request) {
        const char *method = request_method(request);

        return request_body_size(request) == 0 &&
               (streq(method, "GET") || streq(method, "HEAD") || streq(method, "OPTIONS"));
}

static int start(Request *request, Pass *p, sd_bus_error *error) {
        _cleanup_(proxy_head_done) ProxyHead h = {};
        Manager *m = request_userdata(request);
        ExchangeOptions options;
        ProxyConfig config;
        int r;

        r = proxy_base(m, p->sandbox, p->port, &p->base);
        if (r >= 0)
                r = make_head(request, p, &h);
        if (r < 0)
                return r;
        proxy_get_config(p->sandbox, &config);
        options = (ExchangeOptions) { .sandbox = p->sandbox, .port = p->port, .n_head = h.n, .head = TAKE_PTR(h.text),
                                      .body_size = request_body_size(request), .may_switch = p->upgrade,
                                      .is_head = streq(request_method(request), "HEAD"),
                                      .repeatable = !p->upgrade && is_repeatable(request),
                                      .timeout_usec = config.timeout_usec, .handlers = &handlers, .userdata = p };
        r = exchange_new(m->exchanges, &options, &p->exchange);
        return r < 0 ? api_unavailable(r, error) : 0;
}

/* Of two cookies, two lines of Via and the like all are passed on; two of what is looked at here would be ambiguous. */
static int check(Request *request, sd_bus_error *error) {
        if (proxy_count_via(request_header(request, "Via")) > VIA_MAX)
                return request_reply_json(request, 508, json_pack("{s:s}", "error", "The request goes in a circle"));
        return api_check_proxied_method(request_method(request), error) < 0 ? -EINVAL : 1;
}

int api_proxy_pass(Request *request, sd_bus_error *error) {
        _cleanup_(pass_freep) Pass *p = NULL;
        uint16_t port;
        Sandbox *s;
        int r;

        r = check(request, error);
        if (r <= 0)
                return r;
        r = api_get_proxied(request, &s, &port, error);
        if (r < 0)
                return r;
        p = new0(Pass, 1);
        if (!p)
                return -ENOMEM;
        *p = (Pass) { .request = request, .sandbox = sandbox_ref(s), .port = port,
                      .upgrade = request_wants_upgrade(request, "websocket") ? "websocket" : NULL };
        r = start(request, p, error);
        if (r < 0)
                return r;
        r = request_receive(request, &(BodySink) { .write = on_data, .end = on_end, .userdata = p });
        if (r < 0)
                return r;
        request_on_gone(request, on_client_gone, p);
        TAKE_PTR(p);
        return 1;
}
