/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

/* A GET through the proxy against the same GET by a client inside, both over a connection that is kept and with a rest
 * after each, of the server that comes with Python. They take turns in batches, so that what the machine does otherwise
 * hits both. */

#define PORT 8081
#define BATCHES 4U
#define BATCH 40U
#define REST_NSEC (2 * 1000 * 1000)
#define TRIES 200U

#define SERVER                                                                                     \
        "import http.server as h\\n"                                                               \
        "class H(h.BaseHTTPRequestHandler):\\n"                                                    \
        " protocol_version = 'HTTP/1.1'\\n"                                                        \
        " disable_nagle_algorithm = True\\n"                                                      \
        " def do_GET(self):\\n"                                                                    \
        "  self.send_response(200)\\n"                                                             \
        "  self.send_header('Content-Length', '5')\\n"                                             \
        "  self.end_headers()\\n"                                                                  \
        "  self.wfile.write(b'hello')\\n"                                                          \
        " def log_message(self, *a): pass\\n"                                                      \
        "h.ThreadingHTTPServer(('127.0.0.1', %d), H).serve_forever()"

#define CLIENT                                                                                     \
        "import socket, time\\n"                                                                   \
        "s = socket.create_connection(('127.0.0.1', %d))\\n"                                       \
        "for i in range(%u):\\n"                                                                   \
        " begin = time.perf_counter()\\n"                                                          \
        " s.sendall(b'GET / HTTP/1.1\\\\r\\\\nHost: localhost\\\\r\\\\n\\\\r\\\\n')\\n"                    \
        " got = b''\\n"                                                                            \
        " while not got.endswith(b'hello'): got += s.recv(4096)\\n"                                \
        " print((time.perf_counter() - begin) * 1e6)\\n"                                           \
        " time.sleep(.002)"

static int post(Http *h, const Sandbox *s, const char *rest, const char *body) {
        char path[96];
        int r;

        snprintf(path, sizeof path, "/sandboxes/%s%s", s->id, rest);
        r = http_call(h, "POST", path, body, NULL);
        return r == 200 ? 0 : r < 0 ? r : -EPROTO;
}

static int get(Http *h, const Sandbox *s, double *ret_usec) {
        char path[96];
        int r;

        snprintf(path, sizeof path, "/proxy/%s/%d/", s->id, PORT);
        r = http_call(h, "GET", path, NULL, ret_usec);
        return r == 200 && strcmp(h->body, "hello") == 0 ? 0 : r < 0 ? r : -EPROTO;
}

static void rest(long nsec) {
        (void) nanosleep(&(struct timespec) { .tv_nsec = nsec }, NULL);
}

static int start_server(Http *h, const Sandbox *s) {
        char body[1024];
        int r;

        snprintf(body, sizeof body, "{\"command\":[\"python3\",\"-c\",\"" SERVER "\"]}", PORT);
        r = post(h, s, "/exec/background", body);
        snprintf(body, sizeof body, "{\"containerPort\":%d}", PORT);
        if (r >= 0)
                r = post(h, s, "/ports", body);
        for (unsigned i = 0; r >= 0 && i < TRIES; i++) {
                if (get(h, s, NULL) == 0)
                        return 0;
                rest(50 * 1000 * 1000);
        }
        return r < 0 ? r : -ETIMEDOUT;
}

static int batch_inside(Bench *b, Http *h, const Sandbox *s) {
        char body[1024], *end;
        const char *p;
        json_t *reply;
        int r;

        snprintf(body, sizeof body, "{\"command\":[\"python3\",\"-c\",\"" CLIENT "\"]}", PORT, BATCH);
        r = post(h, s, "/exec", body);
        if (r < 0)
                return r;
        reply = json_loads(h->body, 0, NULL);
        p = json_string_value(json_object_get(reply, "stdout"));
        for (r = 0; p && *p; p = end, r++) {
                double usec = strtod(p, &end);

                if (end == p)
                        break;
                bench_add(b, MEASURE_GET_INSIDE, usec);
                end += *end == '\n';
        }
        json_decref(reply);
        return r == (int) BATCH ? 0 : -EPROTO;
}

static int batch_proxied(Bench *b, Http *h, const Sandbox *s) {
        double usec;
        int r;

        for (unsigned i = 0; i < BATCH; i++) {
                r = get(h, s, &usec);
                if (r < 0)
                        return r;
                bench_add(b, MEASURE_GET_PROXIED, usec);
                rest(REST_NSEC);
        }
        return 0;
}

void stage_proxy(Bench *b, Http *blank) {
        Sandbox s;
        int r;

        if (rest_create(blank, &s, NULL) < 0)
                return;
        r = start_server(blank, &s);
        for (unsigned i = 0; r >= 0 && i < BATCHES; i++) {
                r = batch_inside(b, blank, &s);
                if (r >= 0)
                        r = batch_proxied(b, blank, &s);
        }
        if (r < 0)
                bench_failed(b, MEASURE_GET_PROXIED, "a server in a sandbox: %s", strerror(-r));
        (void) rest_delete(blank, &s, NULL);
}
