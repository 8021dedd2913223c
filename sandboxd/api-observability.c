/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/http/http-server.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/route-function.h"
#include "sandboxd/trace.h"

/* Traces of the requests, and what they come to. */

#define LIMIT_MAX 1000

void api_trace(const struct HttpOutcome *outcome, void *userdata) {
        Trace trace = { .duration_usec = outcome->duration_usec, .status = outcome->status };
        Manager *m = userdata;
        char function[64];

        route_function(outcome->table, outcome->route, function);
        trace.function = function;
        if (*outcome->sandbox)
                (void) snprintf(trace.sandbox, sizeof trace.sandbox, SANDBOX_ID_PREFIX "%.*s", (int) SANDBOX_ID_SHORT,
                                outcome->sandbox);
        if (trace_is_error(&trace))
                trace.error = (char *) (outcome->error ? outcome->error : "The client went away");
        trace_log_add(m->traces, &trace);
}

typedef struct TracesInput {
        char *sandbox, *function;
        int64_t limit, offset;
} TracesInput;

static const JsonField traces_fields[] = {
        { "functionId", JSON_FIELD_STRING, offsetof(TracesInput, function), JSON_FIELD_LENIENT, 0, 0,
          "only of this function" },
        { "limit",      JSON_FIELD_INT,    offsetof(TracesInput, limit),    JSON_FIELD_CLAMP, 1, LIMIT_MAX,
          "traces a page" },
        { "offset",     JSON_FIELD_INT,    offsetof(TracesInput, offset),   JSON_FIELD_CLAMP, 0, 1000000000,
          "traces that are left out" },
        { "sandboxId",  JSON_FIELD_STRING, offsetof(TracesInput, sandbox),  JSON_FIELD_LENIENT, 0, 0,
          "only about this sandbox" },
};
const JsonTable traces_table = JSON_TABLE(traces_fields);

static int reply_traces(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const TracesInput *input = userdata;
        uint64_t total = 0;
        json_t *traces;
        int r;

        (void) error;
        r = trace_log_list(m->traces, &(TraceQuery) { .sandbox = input->sandbox, .function = input->function,
                                                      .offset = (uint64_t) input->offset,
                                                      .limit = (uint64_t) input->limit }, &traces, &total);
        if (r < 0)
                return r;
        return request_reply_json(request, 200, json_pack("{s:o, s:I}", "traces", traces, "total",
                                                          (json_int_t) total));
}

int api_traces(Request *request, sd_bus_error *error) {
        static const ApiInput route = { traces_fields, ELEMENTSOF(traces_fields), reply_traces };

        return api_with_input(request, &route, &(TracesInput) { .limit = 100 }, error);
}

json_int_t api_count_active(Manager *m) {
        json_int_t active = 0;
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes)
                active += !s->leaving && !sandbox_is_expired(s);
        return active;
}

int api_observability_metrics(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *figures;
        int r;

        (void) error;
        r = trace_log_figures(m->traces, &figures);
        if (r < 0)
                return r;
        (void) json_object_set_new(figures, "activeSandboxes", json_integer(api_count_active(m)));
        return request_reply_json(request, 200, figures);
}

typedef struct ClearInput {
        int64_t before;
} ClearInput;

static const JsonField clear_fields[] = {
        { "before", JSON_FIELD_INT, offsetof(ClearInput, before), JSON_FIELD_CLAMP, 0, (double) (UINT64_C(1) << 53),
          "those before it, milliseconds since the epoch; default: all until now" },
};
const JsonTable traces_clear_table = JSON_TABLE(clear_fields);

static int clear(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const ClearInput *input = userdata;
        uint64_t before = input->before >= 0 ? (uint64_t) input->before
                                             : now_usec(CLOCK_REALTIME) / USEC_PER_MSEC + 1;

        (void) error;
        return request_reply_json(request, 200, json_pack("{s:I}", "cleared",
                                                          (json_int_t) trace_log_clear(m->traces, before)));
}

int api_observability_clear(Request *request, sd_bus_error *error) {
        static const ApiInput route = { clear_fields, ELEMENTSOF(clear_fields), clear };

        return api_with_input(request, &route, &(ClearInput) { .before = -1 }, error);
}
