/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "sandboxd/request.h"

/* One client of a stream of server-sent events: frames "data: <JSON>\n\n", a comment as heartbeat every 15 s. What the
 * client does not take in time waits in a ring of 64 KiB; what does not fit there is dropped and counted, and the
 * client sees ": gap <n>" in its place. The writer is never held up.
 *
 * JSON escapes line breaks, so no content can begin a frame of its own. */

typedef struct SseStream SseStream;

/* Replies to r with the stream. on_gone is called once, when the client went away before sse_stream_end(); s is
 * invalid after it. */
int sse_stream_new(Request *r, sd_event *event, void (*on_gone)(SseStream *s, void *userdata), void *userdata,
                   SseStream **ret);
/* Takes the event over, also on failure. 0: dropped, 1: on its way. */
int sse_stream_send(SseStream *s, json_t *event);
/* What is in the ring is still sent. s is invalid afterwards. */
void sse_stream_end(SseStream *s);

#define SSE_RING_BYTES (64 * KiB)
