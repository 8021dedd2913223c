/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "sandboxd/store.h"

/* What was asked of us, how long it took and how it ended. The last ones stand in memory; they are written behind, many
 * in one row, so that neither a request nor the disk feels them, and a kill costs what came in a moment. Those of
 * earlier processes are read when somebody asks. */

typedef struct TraceLog TraceLog;

#define TRACE_KIND "trace"
#define TRACE_ERROR_MAX 256U

typedef struct Trace {
        char id[32];
        const char *function;   /* of the log's own names */
        char sandbox[40];       /* public id; "": none */
        uint64_t duration_usec, time_msec;
        unsigned status;        /* of HTTP; 0: the client went away before there was one */
        char *error;            /* NULL: there was none */
} Trace;

/* max 0: none are kept. */
int trace_log_new(sd_event *loop, Store *store, uint32_t max, TraceLog **ret);
TraceLog *trace_log_free(TraceLog *l);
DEFINE_CLEANUP(TraceLog *, trace_log_free)

/* Copies what it is given; id and time are made. */
void trace_log_add(TraceLog *l, const Trace *trace);

typedef struct TraceQuery {
        const char *sandbox, *function; /* NULL: any */
        uint64_t offset, limit;
} TraceQuery;

/* Newest first. *ret_total: of all that fit. */
int trace_log_list(TraceLog *l, const TraceQuery *query, json_t **ret, uint64_t *ret_total);
/* totalRequests, totalErrors, avgDuration, p95Duration, functionCounts. */
int trace_log_figures(TraceLog *l, json_t **ret);
/* Those before it; their number. */
uint64_t trace_log_clear(TraceLog *l, uint64_t before_msec);
bool trace_is_error(const Trace *t);
