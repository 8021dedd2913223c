/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "sandboxd/request.h"

/* A reply of server-sent events. Its frames, "data: <JSON>\n\n", are made one by one as the client takes them: what
 * waits for a slow client, and what is dropped, is the source's to say. A comment goes out when nothing else did for
 * 15 s, so that nobody in between takes the connection for dead. */

typedef struct SseSource {
        /* Writes the next frame, its size at most frame_max: the size; 0: nothing now, request_stream_wake() follows;
         * -ENODATA: there was the last. */
        ssize_t (*next)(void *userdata, char *frame);
        /* Called exactly once, at the end or when the client went away. */
        void (*free)(void *userdata);
        void *userdata;
        size_t frame_max;
} SseSource;

#define SSE_FRAME_MIN 16U /* for frame_max */

int request_reply_events(Request *r, sd_event *event, const SseSource *source);
