/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libsandbox/time-util.h"
#include "tests/bench/bench.h"

/* How long something is on its way to who reads a stream. A command says the time at which it writes, and here is
 * looked what time it is when that has come; an event has come from a request of ours. Between two of them lies an
 * empty request, at a distance to both, as the measure of what the machine can do at that moment. */

#define PERIOD_SEC "0.012"
#define DISTANCE_NSEC (5 * 1000 * 1000)
#define ITEMS 100U

/* A read that nobody answers is a sleep that starts no program. */
#define WRITER "bash -c 'mkfifo /tmp/none; exec 3<>/tmp/none; for i in {1..%u}; do read -t " PERIOD_SEC " -u 3; " \
               "echo @$EPOCHREALTIME; done'"

typedef struct Latency {
        Bench *bench;
        Http *blank;
        Http stream;
        Sandbox sandbox;
        Measure measure;
} Latency;

static double wall_usec(void) {
        return (double) now_usec(CLOCK_REALTIME);
}

/* The last time that stands in what came, microseconds; 0: none is there. */
static double find_time(const char *text) {
        const char *at = strrchr(text, '@');

        return at ? strtod(at + 1, NULL) * 1e6 : 0;
}

/* 0 when it has come. */
static int wait_for_item(Http *stream, double *ret_written) {
        for (;;) {
                int r = http_more(stream);

                if (r < 0)
                        return r;
                *ret_written = find_time(stream->body);
                if (*ret_written > 0)
                        return 0;
        }
}

static int measure_empty(Latency *l) {
        double usec;
        int r;

        (void) nanosleep(&(struct timespec) { .tv_nsec = DISTANCE_NSEC }, NULL);
        r = http_call(l->blank, "GET", "/health", NULL, &usec);
        if (r != 200)
                return r < 0 ? r : -EPROTO;
        bench_add(l->bench, MEASURE_HEALTH, usec);
        return 0;
}

static int measure_written(Latency *l) {
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < ITEMS; i++) {
                double written;

                r = wait_for_item(&l->stream, &written);
                if (r >= 0) {
                        bench_add(l->bench, l->measure, wall_usec() - written);
                        r = measure_empty(l);
                }
        }
        return r;
}

static int measure_output(Latency *l) {
        char path[160], body[320];
        int r;

        snprintf(path, sizeof path, "/sandboxes/%s/exec/stream", l->sandbox.id);
        snprintf(body, sizeof body, "{\"command\":\"" WRITER "\"}", ITEMS + 1);
        r = http_begin(&l->stream, "POST", path, body);
        return r == 200 ? measure_written(l) : r < 0 ? r : -EPROTO;
}

static int measure_log(Latency *l) {
        char path[160], command[256];
        int r;

        snprintf(path, sizeof path, "/sandboxes/%s/stream/logs?tail=0", l->sandbox.id);
        snprintf(command, sizeof command, WRITER, ITEMS + 1);
        r = http_begin(&l->stream, "GET", path, NULL);
        if (r == 200)
                r = rest_background(l->blank, &l->sandbox, command);
        return r == 0 ? measure_written(l) : r < 0 ? r : -EPROTO;
}

static int measure_events(Latency *l) {
        int r;

        r = http_begin(&l->stream, "GET", "/stream/events?topic=bench", NULL);
        if (r != 200)
                return r < 0 ? r : -EPROTO;
        for (unsigned i = 0; i < ITEMS; i++) {
                double written = 0;
                char body[160];

                (void) nanosleep(&(struct timespec) { .tv_nsec = DISTANCE_NSEC }, NULL);
                snprintf(body, sizeof body, "{\"topic\":\"bench\",\"sandboxId\":\"%s\",\"data\":{\"at\":\"@%.6f\"}}",
                         l->sandbox.id, wall_usec() / 1e6);
                r = http_call(l->blank, "POST", "/events/publish", body, NULL);
                if (r == 200)
                        r = wait_for_item(&l->stream, &written);
                if (r < 0)
                        return r;
                bench_add(l->bench, l->measure, wall_usec() - written);
                r = measure_empty(l);
                if (r < 0)
                        return r;
        }
        return 0;
}

void stage_latency(Bench *b, Http *blank) {
        static const struct {
                Measure measure;
                int (*run)(Latency *l);
        } streams[] = {
                { MEASURE_OUTPUT_LATENCY, measure_output },
                { MEASURE_LOG_LATENCY,    measure_log    },
                { MEASURE_EVENT_LATENCY,  measure_events },
        };

        for (size_t i = 0; i < ELEMENTSOF(streams); i++) {
                Latency l = { .bench = b, .blank = blank, .measure = streams[i].measure };
                int r;

                if (!b->wanted[l.measure] || rest_create(blank, &l.sandbox, NULL) < 0)
                        continue;
                r = http_open(&l.stream, b->blank);
                if (r >= 0)
                        r = streams[i].run(&l);
                if (r < 0)
                        bench_failed(b, l.measure, "nothing came: %s", strerror(-r));
                http_close(&l.stream);
                (void) rest_delete(blank, &l.sandbox, NULL);
        }
}
