/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "libsandbox/hashmap.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* A ring. Its traces are numbered by their place, and what has been written is a place, too. In the database a row is a
 * batch: an array of arrays. The last row of the process before is filled up first, so that daemons that come and go
 * do not leave thousands of rows with one trace each. */

#define BATCH_MAX 256U
#define WRITE_DELAY_USEC (200 * USEC_PER_MSEC)

struct TraceLog {
        Store *store;
        sd_event_source *timer;
        Trace *ring;
        uint32_t max;
        uint64_t begin, end, written;   /* places */
        Hashmap *functions;             /* names, each once */
        uint64_t id_begin, id_count;
        bool loaded;                    /* what earlier processes wrote is in the ring */
        char batch_id[40];              /* the row that is being filled; "": a new one */
        json_t *batch;
};

static Trace *at(const TraceLog *l, uint64_t place) {
        return l->ring + place % l->max;
}

static void trace_done(Trace *t) {
        t->error = mfree(t->error);
}

bool trace_is_error(const Trace *t) {
        return t->status == 0 || t->status >= 400;
}

static void drop_oldest(TraceLog *l) {
        trace_done(at(l, l->begin++));
        l->written = MAX(l->written, l->begin);
}

/* There are as many as there are routes. */
static const char *intern(TraceLog *l, const char *name) {
        char *known = hashmap_get(l->functions, name);

        if (known)
                return known;
        known = strdup(name);
        if (known && hashmap_put(l->functions, known, known) < 0)
                known = mfree(known);
        return known ? known : "";
}

/* Unlike others, these ids are made by the thousand: random once for a process, and counted from there. */
static void make_id(TraceLog *l, char id[32]) {
        if (l->id_begin == 0)
                while (getrandom(&l->id_begin, sizeof l->id_begin, 0) < 0 && errno == EINTR)
                        ;
        (void) snprintf(id, 32, "trc_%016" PRIx64 "%08" PRIx64, l->id_begin, l->id_count++ & UINT32_MAX);
}

static json_t *trace_to_row(const Trace *t) {
        return json_pack("[s, s, s, I, I, i, s?]", t->id, t->function, t->sandbox, (json_int_t) t->duration_usec,
                         (json_int_t) t->time_msec, (int) t->status, t->error);
}

/* What others wrote is not believed in its lengths. */
static int trace_from_row(TraceLog *l, json_t *row, Trace *ret) {
        const char *id, *function, *sandbox;
        json_int_t duration, when;
        json_t *error;
        int status;

        if (json_unpack(row, "[s, s, s, I, I, i, o]", &id, &function, &sandbox, &duration, &when, &status, &error) < 0)
                return -EBADMSG;
        *ret = (Trace) { .function = intern(l, function), .duration_usec = (uint64_t) MAX(duration, 0),
                         .time_msec = (uint64_t) MAX(when, 0), .status = (unsigned) status };
        (void) snprintf(ret->id, sizeof ret->id, "%s", id);
        (void) snprintf(ret->sandbox, sizeof ret->sandbox, "%s", sandbox);
        ret->error = json_is_string(error) ? strdup(json_string_value(error)) : NULL;
        return 0;
}

static int save_batch(TraceLog *l) {
        _cleanup_free_ char *record = json_dumps(l->batch, JSON_COMPACT);

        if (!record)
                return -ENOMEM;
        return store_put_object(l->store, &(StoredObject) { .kind = TRACE_KIND, .id = l->batch_id, .record = record,
                                                            .time_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC });
}

static int on_last_batch(const StoredObject *row, void *userdata) {
        TraceLog *l = userdata;

        l->batch = json_loads(row->record, 0, NULL);
        if (l->batch && json_is_array(l->batch) && strlen(row->id) < sizeof l->batch_id)
                strcpy(l->batch_id, row->id);
        return 0;
}

static int begin_batch(TraceLog *l) {
        if (!l->batch && isempty(l->batch_id)) /* the first of this process */
                (void) store_foreach_object(l->store, &(ObjectQuery) { .kind = TRACE_KIND, .newest_first = true,
                                                                       .limit = 1 }, on_last_batch, l);
        if (l->batch && !isempty(l->batch_id) && json_array_size(l->batch) < BATCH_MAX)
                return 0;
        json_decref(l->batch);
        l->batch = json_array();
        return l->batch ? object_id_random("trb", l->batch_id) : -ENOMEM;
}

static void trace_log_write(TraceLog *l) {
        bool together;
        int r = 0;

        if (l->written == l->end)
                return;
        together = store_begin(l->store) >= 0;
        while (r >= 0 && l->written < l->end) {
                r = begin_batch(l);
                while (r >= 0 && l->written < l->end && json_array_size(l->batch) < BATCH_MAX)
                        r = json_array_append_new(l->batch, trace_to_row(at(l, l->written++)));
                if (r >= 0)
                        r = save_batch(l);
        }
        if (r >= 0)
                r = store_trim_objects(l->store, TRACE_KIND, l->max / BATCH_MAX + 2); /* the last is not full */
        if (together)
                (void) store_end(l->store);
        if (r < 0)
                log_debug_errno(r, "Failed to write traces, they stay in memory: %m");
        l->written = l->end;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        trace_log_write(userdata);
        return 0;
}

int trace_log_new(sd_event *loop, Store *store, uint32_t max, TraceLog **ret) {
        _cleanup_(trace_log_freep) TraceLog *l = new0(TraceLog, 1);
        int r;

        if (!l)
                return -ENOMEM;
        *l = (TraceLog) { .store = store, .max = MIN(max, UINT32_C(1000000)), .functions = hashmap_new() };
        if (l->max > 0)
                l->ring = new0(Trace, l->max);
        if (!l->functions || (l->max > 0 && !l->ring))
                return -ENOMEM;
        r = sd_event_add_time_relative(loop, &l->timer, CLOCK_MONOTONIC, WRITE_DELAY_USEC, WRITE_DELAY_USEC / 4,
                                       on_timer, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(l->timer, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

TraceLog *trace_log_free(TraceLog *l) {
        char *name;

        if (!l)
                return NULL;
        if (l->timer)
                trace_log_write(l);
        sd_event_source_disable_unref(l->timer);
        while (l->begin < l->end)
                trace_done(at(l, l->begin++));
        if (l->functions)
                HASHMAP_FOREACH(name, l->functions)
                        free(name);
        hashmap_free(l->functions);
        json_decref(l->batch);
        free(l->ring);
        free(l);
        return NULL;
}

/* The ring is full most of the time: the oldest one goes, also if it was never written. */
static void push(TraceLog *l, const Trace *t) {
        if (l->end - l->begin == l->max)
                drop_oldest(l);
        *at(l, l->end++) = *t;
}

void trace_log_add(TraceLog *l, const Trace *trace) {
        Trace t = *trace;

        if (l->max == 0)
                return;
        make_id(l, t.id);
        t.function = intern(l, trace->function);
        t.time_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
        t.error = trace->error ? utf8_sanitize(trace->error, strnlen(trace->error, TRACE_ERROR_MAX)) : NULL;
        if (l->written == l->end) {
                (void) sd_event_source_set_time_relative(l->timer, WRITE_DELAY_USEC);
                (void) sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
        }
        push(l, &t);
}

static int on_batch(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *batch = json_loads(row->record, 0, NULL);
        TraceLog *l = userdata;
        json_t *element;
        size_t i;

        if (!json_is_array(batch))
                return -EBADMSG;
        json_array_foreach(batch, i, element) {
                Trace t;

                if (trace_from_row(l, element, &t) >= 0)
                        push(l, &t);
        }
        return 0;
}

/* All is in the database then, also what this process has seen, so that the order is that of the rows. */
static int load(TraceLog *l) {
        int r;

        if (l->loaded || l->max == 0)
                return 0;
        trace_log_write(l);
        while (l->begin < l->end)
                drop_oldest(l);
        r = store_foreach_object(l->store, &(ObjectQuery) { .kind = TRACE_KIND }, on_batch, l);
        l->written = l->end;
        l->loaded = r >= 0;
        return r;
}

static json_t *trace_to_json(const Trace *t) {
        return json_pack("{s:s, s:s, s:s*, s:f, s:s, s:s*, s:I, s:i}", "id", t->id, "functionId", t->function,
                         "sandboxId", isempty(t->sandbox) ? NULL : t->sandbox,
                         "duration", (double) t->duration_usec / 1000.0, "status", trace_is_error(t) ? "error" : "ok",
                         "error", t->error, "timestamp", (json_int_t) t->time_msec, "httpStatus", (int) t->status);
}

/* Newest first. With a filter all have to be looked at for the total; without one it is known. */
int trace_log_list(TraceLog *l, const TraceQuery *query, json_t **ret, uint64_t *ret_total) {
        const char *function = NULL;
        uint64_t total = 0;
        json_t *list;
        int r;

        r = load(l);
        if (r < 0)
                return r;
        list = json_array();
        if (query->function)
                function = hashmap_get(l->functions, query->function);
        for (uint64_t place = l->end; place > l->begin; place--) {
                const Trace *t = at(l, place - 1);

                if (query->function && t->function != function)
                        continue;
                if (query->sandbox && !streq(t->sandbox, query->sandbox))
                        continue;
                if (total >= query->offset && total - query->offset < query->limit)
                        (void) json_array_append_new(list, trace_to_json(t));
                total++;
                if (!query->function && !query->sandbox && total >= query->offset + query->limit) {
                        total = l->end - l->begin; /* the rest fits, too */
                        break;
                }
        }
        *ret = list;
        *ret_total = total;
        return 0;
}

static int compare_durations(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static void count(json_t *counts, const char *function) {
        json_int_t n = json_integer_value(json_object_get(counts, function));

        (void) json_object_set_new(counts, function, json_integer(n + 1));
}

int trace_log_figures(TraceLog *l, json_t **ret) {
        _cleanup_free_ uint64_t *durations = NULL;
        json_int_t errors = 0;
        json_t *counts;
        uint64_t n, sum = 0;
        int r;

        r = load(l);
        if (r < 0)
                return r;
        n = l->end - l->begin;
        durations = new0(uint64_t, (size_t) n + 1);
        if (!durations)
                return -ENOMEM;
        counts = json_object();
        for (uint64_t i = 0; i < n; i++) {
                const Trace *t = at(l, l->begin + i);

                durations[i] = t->duration_usec;
                sum += t->duration_usec;
                errors += trace_is_error(t);
                count(counts, t->function);
        }
        qsort(durations, (size_t) n, sizeof *durations, compare_durations);
        *ret = json_pack("{s:I, s:I, s:f, s:f, s:o}", "totalRequests", (json_int_t) n, "totalErrors", errors,
                         "avgDuration", n > 0 ? (double) sum / (double) n / 1000.0 : 0.0,
                         "p95Duration", n > 0 ? (double) durations[n * 95 / 100] / 1000.0 : 0.0, "functionCounts", counts);
        return *ret ? 0 : -ENOMEM;
}

/* The rows are made anew of what stays: it is rare, and the ring is all there is. */
uint64_t trace_log_clear(TraceLog *l, uint64_t before_msec) {
        uint64_t n = 0;

        if (load(l) < 0)
                return 0;
        for (; l->begin < l->end && at(l, l->begin)->time_msec < before_msec; n++)
                drop_oldest(l);
        if (n == 0)
                return 0;
        (void) store_remove_objects_of(l->store, TRACE_KIND, "");
        l->batch_id[0] = 0;
        json_decref(l->batch);
        l->batch = NULL;
        l->written = l->begin;
        trace_log_write(l);
        return n;
}
