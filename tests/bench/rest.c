/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

/* The requests. A figure counts only if the answer is the right one. */

#define CREATE_BODY "{\"image\":\"python:3.12-slim\"}"
#define EXEC_BODY "{\"command\":[\"/bin/true\"]}"
#define FILE_BODY_SIZE 4096

static int call(Http *h, const char *method, const char *path, const char *json, const char *expected,
                double *ret_usec) {
        int r = http_call(h, method, path, json, ret_usec);

        if (r == 200 && (!expected || strstr(h->body, expected)))
                return 0;
        fprintf(stderr, "%s %s: %s %d %.300s\n", method, path, r < 0 ? strerror(-r) : "status", r,
                r < 0 ? "" : h->body);
        return r < 0 ? r : -EPROTO;
}

static int call_sandbox(Http *h, const char *method, const Sandbox *s, const char *rest, const char *json,
                        const char *expected, double *ret_usec) {
        char path[160];

        snprintf(path, sizeof path, "/sandboxes/%s%s", s->id, rest);
        return call(h, method, path, json, expected, ret_usec);
}

int rest_create(Http *h, Sandbox *ret, double *ret_usec) {
        const char *id;
        int r;

        r = call(h, "POST", "/sandboxes", CREATE_BODY, "\"sbx_", ret_usec);
        if (r < 0)
                return r;
        id = strstr(h->body, "\"sbx_") + 1;
        snprintf(ret->id, sizeof ret->id, "%.*s", (int) strcspn(id, "\""), id);
        return 0;
}

int rest_delete(Http *h, const Sandbox *s, double *ret_usec) {
        return call_sandbox(h, "DELETE", s, "", NULL, NULL, ret_usec);
}

int rest_exec(Http *h, const Sandbox *s, double *ret_usec) {
        return call_sandbox(h, "POST", s, "/exec", EXEC_BODY, "\"exitCode\":0", ret_usec);
}

int rest_shell(Http *h, const Sandbox *s, const char *command, double *ret_usec) {
        char body[320];

        snprintf(body, sizeof body, "{\"command\":\"%s\"}", command);
        return call_sandbox(h, "POST", s, "/exec", body, "\"exitCode\":0", ret_usec);
}

int rest_background(Http *h, const Sandbox *s, const char *command) {
        char body[320];

        snprintf(body, sizeof body, "{\"command\":\"%s\"}", command);
        return call_sandbox(h, "POST", s, "/exec/background", body, "\"running\":true", NULL);
}

int rest_clone(Http *h, const Sandbox *s, Sandbox *ret, double *ret_usec) {
        const char *id;
        int r;

        r = call_sandbox(h, "POST", s, "/clone", "{}", "\"sbx_", ret_usec);
        if (r < 0)
                return r;
        id = strstr(h->body, "\"sbx_") + 1;
        snprintf(ret->id, sizeof ret->id, "%.*s", (int) strcspn(id, "\""), id);
        return 0;
}

int rest_fork(Http *h, const Sandbox *s, unsigned n, double *ret_usec) {
        json_t *reply, *item;
        char body[64];
        size_t i;
        int r;

        snprintf(body, sizeof body, "{\"count\":%u}", n);
        r = call_sandbox(h, "POST", s, "/fork", body, "\"sbx_", ret_usec);
        if (r < 0)
                return r;
        reply = json_loads(h->body, 0, NULL);
        json_array_foreach(json_object_get(reply, "sandboxes"), i, item) {
                Sandbox made;

                snprintf(made.id, sizeof made.id, "%s", json_string_value(json_object_get(item, "id")));
                (void) rest_delete(h, &made, NULL);
        }
        r = json_array_size(json_object_get(reply, "sandboxes")) == n ? 0 : -EPROTO;
        json_decref(reply);
        return r;
}

int rest_pause(Http *h, const Sandbox *s, double *ret_usec) {
        return call_sandbox(h, "POST", s, "/pause", "{}", NULL, ret_usec);
}

int rest_resume(Http *h, const Sandbox *s, double *ret_usec) {
        return call_sandbox(h, "POST", s, "/resume", "{}", NULL, ret_usec);
}

int rest_write(Http *h, const Sandbox *s, double *ret_usec) {
        static char body[FILE_BODY_SIZE + 128];

        if (!*body) {
                int n = snprintf(body, sizeof body, "{\"path\":\"bench\",\"content\":\"");

                memset(body + n, 'x', FILE_BODY_SIZE);
                strcpy(body + n + FILE_BODY_SIZE, "\"}");
        }
        return call_sandbox(h, "POST", s, "/files/write", body, NULL, ret_usec);
}

int rest_read(Http *h, const Sandbox *s, double *ret_usec) {
        return call_sandbox(h, "POST", s, "/files/read", "{\"path\":\"bench\"}", "xxxxxxxx", ret_usec);
}

int rest_noop(Http *h, const Sandbox *s, double *ret_usec) {
        (void) s;
        return call(h, "GET", "/health/files", NULL, "healthy", ret_usec);
}

int rest_stream(Http *h, const Sandbox *s, uint64_t bytes, double *ret_usec) {
        char path[160], body[256];
        uint64_t got;
        int r;

        snprintf(path, sizeof path, "/sandboxes/%s/exec/stream", s->id);
        snprintf(body, sizeof body,
                 "{\"lossless\":true,\"command\":\"yes 0123456789012345678901234567890123456789012345678901234567890123 "
                 "| head -c %llu\"}", (unsigned long long) bytes);
        r = http_drain(h, path, body, ret_usec, &got);
        if (r == 200 && got >= bytes)
                return 0;
        fprintf(stderr, "stream: %d, %llu bytes of %llu\n", r, (unsigned long long) got, (unsigned long long) bytes);
        return r < 0 ? r : -EPROTO;
}

static unsigned get_number(const json_t *o, const char *name) {
        return (unsigned) json_integer_value(json_object_get(o, name));
}

bool rest_spares_are_there(Http *h, unsigned *ret_wanted) {
        json_t *status, *blank;
        bool there;

        if (call(h, "GET", "/pool/status", NULL, NULL, NULL) < 0)
                return false;
        status = json_loads(h->body, 0, NULL);
        blank = json_object_get(status, "blank");
        *ret_wanted = get_number(blank, "size");
        there = *ret_wanted > 0 && get_number(blank, "ready") >= *ret_wanted && get_number(blank, "making") == 0;
        json_decref(status);
        return there;
}

double rest_counter(Http *h, const char *name) {
        json_t *metrics;
        double value;

        if (call(h, "GET", "/metrics", NULL, NULL, NULL) < 0)
                return 0;
        metrics = json_loads(h->body, 0, NULL);
        value = json_number_value(json_object_get(metrics, name));
        json_decref(metrics);
        return value;
}
