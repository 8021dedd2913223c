/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "libsandbox/macro.h"

/* Server-sent events as the API sends them: each "data:" line is one JSON object, all other lines are for others. */
typedef struct SseParser {
        /* Borrows event. A negative return ends the feeding. */
        int (*handler)(const json_t *event, void *userdata);
        void *userdata;
        char *line;
        size_t size, allocated;
} SseParser;

#define SSE_LINE_MAX (16 * MiB)

/* -EMSGSIZE: a line beyond SSE_LINE_MAX; else what handler returned. Lines that are no JSON object are skipped. */
int sse_feed(SseParser *p, const char *data, size_t n);
void sse_done(SseParser *p);
