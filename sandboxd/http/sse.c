/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/sse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEARTBEAT_USEC (15 * USEC_PER_SEC)
#define HEARTBEAT ": heartbeat\n\n"
#define GAP_BYTES 40U

struct SseStream {
        Request *request;
        sd_event_source *timer;
        void (*on_gone)(SseStream *s, void *userdata);
        void *userdata;
        char ring[SSE_RING_BYTES];
        size_t first, n; /* of the bytes in the ring */
        uint64_t dropped;
        bool ended;
};

static size_t ring_space(const SseStream *s) {
        return sizeof s->ring - s->n;
}

static void ring_put(SseStream *s, const char *data, size_t n) {
        size_t at = (s->first + s->n) % sizeof s->ring, head = MIN(n, sizeof s->ring - at);

        assert(n <= ring_space(s));
        memcpy(s->ring + at, data, head);
        memcpy(s->ring, data + head, n - head);
        s->n += n;
}

static size_t ring_take(SseStream *s, char *buffer, size_t size) {
        size_t n = MIN(s->n, size), head = MIN(n, sizeof s->ring - s->first);

        memcpy(buffer, s->ring + s->first, head);
        memcpy(buffer + head, s->ring, n - head);
        s->first = (s->first + n) % sizeof s->ring;
        s->n -= n;
        return n;
}

/* Once there is room again the client learns what it missed, before anything newer. */
static void put_gap(SseStream *s) {
        char text[GAP_BYTES];
        int n;

        if (s->dropped == 0 || ring_space(s) < GAP_BYTES)
                return;
        n = snprintf(text, sizeof text, ": gap %llu\n\n", (unsigned long long) s->dropped);
        ring_put(s, text, (size_t) n);
        s->dropped = 0;
}

/* The gap marker goes in when the ring is empty, or before the next event that fits, whichever is first. */
static ssize_t on_read(void *userdata, char *buffer, size_t size) {
        SseStream *s = userdata;

        if (s->n == 0)
                put_gap(s);
        if (s->n == 0)
                return s->ended ? -ENODATA : 0;
        return (ssize_t) ring_take(s, buffer, size);
}

static void on_free(void *userdata) {
        SseStream *s = userdata;

        sd_event_source_disable_unref(s->timer);
        if (!s->ended && s->on_gone)
                s->on_gone(s, s->userdata);
        free(s);
}

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata) {
        SseStream *s = userdata;

        (void) usec;
        if (s->n == 0) { /* else there is traffic, or nobody reads it */
                ring_put(s, HEARTBEAT, strlen(HEARTBEAT));
                request_stream_wake(s->request);
        }
        (void) sd_event_source_set_time_relative(source, HEARTBEAT_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int sse_stream_new(Request *r, sd_event *event, void (*on_gone)(SseStream *s, void *userdata), void *userdata,
                   SseStream **ret) {
        SseStream *s;
        int result;

        s = malloc(sizeof(SseStream));
        if (!s)
                return -ENOMEM;
        *s = (SseStream) { .request = r, .ended = true };
        result = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, HEARTBEAT_USEC, USEC_PER_SEC,
                                            on_heartbeat, s);
        if (result < 0) {
                on_free(s);
                return result;
        }
        /* From here on the reply owns the stream. */
        result = request_reply_stream(r, 200, "text/event-stream",
                                      &(ReplySource) { .read = on_read, .free = on_free, .userdata = s });
        if (result < 0)
                return result;
        s->on_gone = on_gone;
        s->userdata = userdata;
        s->ended = false;
        *ret = s;
        return 0;
}

int sse_stream_send(SseStream *s, json_t *event) {
        _cleanup_free_ char *text = json_dumps(event, JSON_COMPACT | JSON_ENCODE_ANY);
        size_t n = text ? strlen(text) : 0;

        json_decref(event);
        put_gap(s);
        /* Room for a gap marker stays free, so that it can follow. */
        if (!text || s->dropped > 0 || ring_space(s) < strlen("data: \n\n") + n + GAP_BYTES) {
                s->dropped++;
                return 0;
        }
        ring_put(s, "data: ", strlen("data: "));
        ring_put(s, text, n);
        ring_put(s, "\n\n", 2);
        request_stream_wake(s->request);
        return 1;
}

void sse_stream_end(SseStream *s) {
        s->ended = true;
        request_stream_wake(s->request);
}
