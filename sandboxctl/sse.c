/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/sse.h"

#include <errno.h>

#include "libsandbox/string-util.h"

/* A parser of as much of the format as the server uses. Lines come in pieces of any size and are put together here; a
 * bound on them keeps a server that never ends one from taking all of our memory. */

static int handle_line(SseParser *p, const char *line, size_t n) {
        json_t *event;
        int r;

        if (n < strlen("data:") || !startswith(line, "data:"))
                return 0;
        line += strlen("data:");
        n -= strlen("data:");
        event = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
        if (!json_is_object(event)) {
                json_decref(event);
                return 0;
        }
        r = p->handler(event, p->userdata);
        json_decref(event);
        return r;
}

/* A line comes in pieces of any size. */
static int append(SseParser *p, const char *data, size_t n) {
        if (n == 0)
                return 0;
        if (n > SSE_LINE_MAX - p->size)
                return -EMSGSIZE;
        if (p->size + n > p->allocated) {
                size_t larger = MAX(p->allocated * 2, p->size + n);
                char *line = realloc(p->line, larger);

                if (!line)
                        return -ENOMEM;
                p->line = line;
                p->allocated = larger;
        }
        memcpy(p->line + p->size, data, n);
        p->size += n;
        return 0;
}

int sse_feed(SseParser *p, const char *data, size_t n) {
        while (n > 0) {
                const char *end = memchr(data, '\n', n);
                size_t k = end ? (size_t) (end - data) : n;
                int r;

                r = append(p, data, k);
                if (r >= 0 && end) {
                        size_t size = p->size;

                        p->size = 0;
                        r = handle_line(p, p->line, size);
                }
                if (r < 0)
                        return r;
                k += end ? 1 : 0;
                data += k;
                n -= k;
        }
        return 0;
}

void sse_done(SseParser *p) {
        p->line = mfree(p->line);
        p->size = p->allocated = 0;
}
