/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/http-stream.h"

#include <errno.h>

#include "libsandbox/time-util.h"
#include "sandboxd/http/http-private.h"

#define BLOCK_BYTES (32 * KiB)

/* Outlives its request by a moment: libmicrohttpd destroys the response when it likes to. */
struct HttpStream {
        ReplySource source;
        Request *request;
        uint64_t left;          /* UINT64_MAX: not known */
};

/* Called whenever the socket takes more. A source with nothing to say suspends the connection: to return 0 without
 * that would make libmicrohttpd ask again at once. */
static ssize_t on_read(void *userdata, uint64_t position, char *buffer, size_t size) {
        HttpStream *s = userdata;
        Request *r = s->request;
        ssize_t n;

        (void) position;
        if (!r || r->broken)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        n = s->source.read(s->source.userdata, buffer, MIN(size, s->left));
        if (n > 0 && s->left != UINT64_MAX) {
                s->left -= (uint64_t) n;
                if (s->left == 0) /* that was all: it does not ask again */
                        r->handed_over = true;
        }
        if (n > 0)
                return n;
        if (n == -ENODATA && s->left != UINT64_MAX) /* fewer than was said */
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (n == -ENODATA) {
                r->handed_over = true;
                return MHD_CONTENT_READER_END_OF_STREAM;
        }
        if (n < 0)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        r->suspended = true;
        MHD_suspend_connection(r->connection->mhd);
        return 0;
}

static void on_free(void *userdata) {
        HttpStream *s = userdata;

        if (s->request)
                s->request->stream = NULL;
        if (s->source.free)
                s->source.free(s->source.userdata);
        free(s);
}

int http_stream_new(Request *r, const ReplySource *source, uint64_t size, struct MHD_Response **ret) {
        HttpStream *s;

        s = new0(HttpStream, 1);
        if (!s)
                return -ENOMEM;
        *s = (HttpStream) { .source = *source, .request = r, .left = size };
        *ret = MHD_create_response_from_callback(size == UINT64_MAX ? MHD_SIZE_UNKNOWN : size, BLOCK_BYTES, on_read, s, on_free);
        if (!*ret) {
                free(s);
                return -ENOMEM;
        }
        r->stream = s;
        return 0;
}

void http_stream_detach(Request *r) {
        if (r->stream)
                r->stream->request = NULL;
        r->stream = NULL;
}

void request_stream_wake(Request *r) {
        if (r->phase == REQUEST_REPLYING)
                http_request_resume(r);
}

int request_receive(Request *r, const BodySink *sink) {
        r->sink = *sink;
        r->has_sink = true;
        return 0;
}

/* The peer's time begins anew: it could not send while we did not read. */
void request_body_wake(Request *r) {
        if (r->phase != REQUEST_BODY || !r->body_waits)
                return;
        r->body_waits = false;
        r->progress_usec = r->started_usec = now_usec(CLOCK_MONOTONIC);
        r->body_window = r->body_received;
        http_request_resume(r);
}

uint64_t request_body_size(const Request *r) {
        return r->head.has_body ? r->head.body_size : 0;
}
