/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandboxctl/sse.h"
#include "tests/test.h"

typedef struct Seen {
        unsigned n;
        char data[256];
        int r;
} Seen;

static int on_event(const json_t *event, void *userdata) {
        Seen *s = userdata;
        const json_t *data = json_object_get(event, "data");

        s->n++;
        if (json_is_string(data) && json_string_length(data) < sizeof s->data)
                memcpy(s->data, json_string_value(data), json_string_length(data) + 1);
        return s->r;
}

static const char stream[] = ": comment\n"
                             "event: x\n"
                             "data: {\"type\":\"stdout\",\"data\":\"one\"}\n\n"
                             "data:{\"data\":\"two\"}\r\n\r\n"
                             "data: [1]\n"
                             "data: {broken\n"
                             "data: {\"data\":\"three\\nlines\\u0000\"}\n\n";

TEST(pieces_of_any_size) {
        for (size_t step = 1; step < sizeof stream; step++) {
                Seen seen = {};
                _cleanup_(sse_done) SseParser p = { .handler = on_event, .userdata = &seen };

                for (size_t i = 0; i < sizeof stream - 1; i += step)
                        ASSERT_OK(sse_feed(&p, stream + i, MIN(step, sizeof stream - 1 - i)));
                ASSERT_EQ(seen.n, 3);
                ASSERT_STREQ(seen.data, "three\nlines");
        }
}

TEST(handler_ends_it) {
        Seen seen = { .r = -EPIPE };
        _cleanup_(sse_done) SseParser p = { .handler = on_event, .userdata = &seen };

        ASSERT_EQ(sse_feed(&p, stream, sizeof stream - 1), -EPIPE);
        ASSERT_EQ(seen.n, 1);
}

TEST(unfinished_line_is_no_event) {
        Seen seen = {};
        _cleanup_(sse_done) SseParser p = { .handler = on_event, .userdata = &seen };

        ASSERT_OK(sse_feed(&p, "data: {}", 8));
        ASSERT_EQ(seen.n, 0);
        ASSERT_OK(sse_feed(&p, "\n", 1));
        ASSERT_EQ(seen.n, 1);
}

TEST(endless_line) {
        Seen seen = {};
        _cleanup_(sse_done) SseParser p = { .handler = on_event, .userdata = &seen };
        _cleanup_free_ char *block = malloc(1 * MiB);
        int r = 0;

        ASSERT_NOT_NULL(block);
        memset(block, 'x', 1 * MiB);
        for (unsigned i = 0; i <= SSE_LINE_MAX / MiB && r >= 0; i++)
                r = sse_feed(&p, block, 1 * MiB);
        ASSERT_EQ(r, -EMSGSIZE);
}
