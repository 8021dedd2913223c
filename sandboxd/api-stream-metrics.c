/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/http/sse.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/usage.h"

/* Figures of a sandbox again and again. A client that has not taken the last ones gets no others: there is nothing to
 * be had from old figures. An answer of execd may come when the client is gone already, so both hold the stream. */

#define FRAME_MAX 2048U

typedef struct MetricsStream {
        unsigned n_ref;
        Request *request;       /* NULL: the client is gone */
        Manager *manager;
        Sandbox *sandbox;
        CpuSample cpu;
        EventListener *listener;
        sd_event_source *timer;
        uint64_t interval_usec;
        bool asking, over, ended;
        size_t n;               /* of the frame; 0: it was taken */
        char frame[FRAME_MAX];
} MetricsStream;

static MetricsStream *stream_unref(MetricsStream *s) {
        if (s && --s->n_ref == 0) {
                sd_event_source_disable_unref(s->timer);
                event_unlisten(s->listener);
                sandbox_unref(s->sandbox);
                free(s);
        }
        return NULL;
}
DEFINE_CLEANUP(MetricsStream *, stream_unref)

static void stream_done(void *userdata) {
        MetricsStream *s = userdata;

        s->request = NULL;
        s->timer = sd_event_source_disable_unref(s->timer);
        s->listener = event_unlisten(s->listener);
        stream_unref(s);
}

static void wake(MetricsStream *s) {
        if (s->request)
                request_stream_wake(s->request);
}

static int put_frame(MetricsStream *s, sd_bus_message *reply) {
        _cleanup_(sandbox_stats_done) SandboxStats stats = {};
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = execd_read_stats(reply, &stats, NULL);
        if (r < 0)
                return r;
        object = metrics_to_json(s->sandbox, &stats, &s->cpu);
        text = object ? json_dumps(object, JSON_COMPACT | JSON_OWN_REALS) : NULL;
        if (!text || strlen(text) > FRAME_MAX - 16)
                return -ENOMEM;
        s->n = (size_t) sprintf(s->frame, "data: %s\n\n", text);
        return 0;
}

static void on_stats(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(stream_unrefp) MetricsStream *s = userdata;

        s->asking = false;
        if (error || put_frame(s, reply) < 0)
                s->over = true;
        wake(s);
}

static void on_usage(void *userdata) {
        MetricsStream *s = userdata;

        if (!s->sandbox->leaving && sandbox_is_live(s->sandbox) &&
            execd_call(s->manager->execd, "Stats", s->sandbox->id, on_stats, s) >= 0)
                return;
        s->asking = false;
        s->over = true;
        wake(s);
        stream_unref(s);
}

static void ask(MetricsStream *s) {
        if (s->asking || s->over || s->n > 0)
                return;
        s->asking = true;
        s->n_ref++;
        usage_ask(s->manager, s->sandbox, on_usage, s);
}

static int on_timer(sd_event_source *timer, uint64_t usec, void *userdata) {
        MetricsStream *s = userdata;

        (void) usec;
        ask(s);
        return sd_event_source_set_time_relative(timer, s->interval_usec);
}

static void on_event(const Event *event, void *userdata) {
        MetricsStream *s = userdata;

        if (!streq(event->sandbox, s->sandbox->public_id))
                return;
        s->over |= s->sandbox->leaving || !sandbox_is_live(s->sandbox);
        wake(s);
}

static ssize_t stream_next(void *userdata, char *frame) {
        MetricsStream *s = userdata;
        size_t n = s->n;

        if (s->ended)
                return -ENODATA;
        if (n > 0) {
                memcpy(frame, s->frame, n);
                s->n = 0;
                return (ssize_t) n;
        }
        if (!s->over)
                return 0;
        s->ended = true;
        return sprintf(frame, "data: {\"type\":\"error\",\"error\":\"Container stopped\",\"timestamp\":%" PRIu64 "}\n\n",
                       now_usec(CLOCK_REALTIME) / USEC_PER_MSEC);
}

typedef struct MetricsInput {
        double interval;
} MetricsInput;

static const JsonField metrics_fields[] = {
        { "interval", JSON_FIELD_NUMBER, offsetof(MetricsInput, interval), JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 1,
          3600, "seconds" },
};
const JsonTable stream_metrics_table = JSON_TABLE(metrics_fields);

static int stream_new(Request *request, Sandbox *sandbox, double interval, MetricsStream **ret) {
        _cleanup_(stream_unrefp) MetricsStream *s = new0(MetricsStream, 1);
        Manager *m = request_userdata(request);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (MetricsStream) { .n_ref = 1, .request = request, .manager = m, .sandbox = sandbox_ref(sandbox),
                               .interval_usec = (uint64_t) (interval * (double) USEC_PER_SEC) };
        r = event_listen(m->events, on_event, s, &s->listener);
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &s->timer, CLOCK_MONOTONIC, s->interval_usec,
                                               100 * USEC_PER_MSEC, on_timer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_ON);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static int stream_metrics(Request *request, void *userdata, sd_bus_error *error) {
        const MetricsInput *input = userdata;
        Manager *m = request_userdata(request);
        MetricsStream *s;
        Sandbox *sandbox;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &sandbox, error);
        if (r >= 0)
                r = stream_new(request, sandbox, input->interval, &s);
        if (r < 0)
                return r;
        ask(s);
        (void) request_add_header(request, "Cache-Control", "no-cache");
        return request_reply_events(request, m->event, &(SseSource) { .next = stream_next, .free = stream_done,
                                                                      .userdata = s, .frame_max = FRAME_MAX });
}

int api_stream_metrics(Request *request, sd_bus_error *error) {
        static const ApiInput route = { metrics_fields, ELEMENTSOF(metrics_fields), stream_metrics };

        return api_with_input(request, &route, &(MetricsInput) { .interval = 5 }, error);
}
