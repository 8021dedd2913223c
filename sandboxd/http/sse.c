/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/sse.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

/* Server-sent events over a reply that is a stream. A source makes one frame at a time into a buffer of ours, and only
 * when there is room in the client's socket: a slow reader holds one frame, not a queue. Where it has nothing to say
 * for a while a comment goes out, so that proxies keep the connection and a client that is gone is noticed. */

#define HEARTBEAT_USEC (15 * USEC_PER_SEC)
#define HEARTBEAT ": beat\n\n"

typedef struct SseStream {
        SseSource source;
        Request *request;
        sd_event_source *timer;
        bool beat;
        size_t size, sent; /* of the frame */
        char frame[];
} SseStream;

static ssize_t next_frame(SseStream *s) {
        ssize_t n;

        n = s->source.next(s->source.userdata, s->frame);
        if (n == 0 && s->beat) {
                memcpy(s->frame, HEARTBEAT, strlen(HEARTBEAT));
                n = strlen(HEARTBEAT);
        }
        if (n > 0)
                s->beat = false;
        return n;
}

/* As many frames as fit: each answer costs a system call and a turn of the loop. What the source says when it has
 * nothing more is asked for again if something was sent before. */
static ssize_t on_read(void *userdata, char *buffer, size_t size) {
        SseStream *s = userdata;
        size_t done = 0;

        while (done < size) {
                size_t take;

                if (s->sent == s->size) {
                        ssize_t n = next_frame(s);

                        if (n <= 0)
                                return done > 0 ? (ssize_t) done : n;
                        s->size = (size_t) n;
                        s->sent = 0;
                }
                take = MIN(size - done, s->size - s->sent);
                memcpy(buffer + done, s->frame + s->sent, take);
                s->sent += take;
                done += take;
        }
        return (ssize_t) done;
}

static void on_free(void *userdata) {
        SseStream *s = userdata;

        sd_event_source_disable_unref(s->timer);
        s->source.free(s->source.userdata);
        free(s);
}

/* It is only wanted here; whether it is sent is decided when the stream asks, for a frame that comes first makes it
 * needless. */
static int on_heartbeat(sd_event_source *timer, uint64_t usec, void *userdata) {
        SseStream *s = userdata;

        (void) usec;
        s->beat = true;
        request_stream_wake(s->request);
        return sd_event_source_set_time_relative(timer, HEARTBEAT_USEC);
}

static int stream_new(Request *r, sd_event *event, const SseSource *source, SseStream **ret) {
        SseStream *s;
        int result;

        assert(source->frame_max >= SSE_FRAME_MIN);
        s = malloc(sizeof(SseStream) + source->frame_max);
        if (!s)
                return -ENOMEM;
        *s = (SseStream) { .source = *source, .request = r };
        result = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, HEARTBEAT_USEC, USEC_PER_SEC,
                                            on_heartbeat, s);
        if (result >= 0)
                result = sd_event_source_set_enabled(s->timer, SD_EVENT_ON);
        if (result < 0) {
                sd_event_source_disable_unref(s->timer);
                free(s);
                return result;
        }
        *ret = s;
        return 0;
}

int request_reply_events(Request *r, sd_event *event, const SseSource *source) {
        SseStream *s;
        int result;

        result = stream_new(r, event, source, &s);
        if (result < 0) {
                source->free(source->userdata);
                http_request_abort(r);
                return result;
        }
        return request_reply_stream(r, 200, "text/event-stream",
                                    &(ReplySource) { .read = on_read, .free = on_free, .userdata = s });
}
