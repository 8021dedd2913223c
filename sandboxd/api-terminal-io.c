/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api-terminal.h"
#include "sandboxd/api.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/terminal-writer.h"

/* The bytes of a terminal, raw in both directions. What it shows is one long response, whose end says that there is
 * something to ask the terminal for: did it end, did another one take over? What is typed are requests, one after the
 * other, each answered when the kernel has all of it. */

#define OFFSET_HEADER "X-Terminal-Offset"

#define OFFSET_MAX ((double) (UINT64_C(1) << 53))

static const JsonField attach_fields[] = {
        { "holder", JSON_FIELD_STRING, offsetof(AttachInput, holder), 0, 0, TERMINAL_HOLDER_MAX,
          "who attaches, for a later resume" },
        { "offset", JSON_FIELD_INT, offsetof(AttachInput, offset), JSON_FIELD_CLAMP, 0, OFFSET_MAX,
          "byte position to go on from" },
        { "resume", JSON_FIELD_BOOL, offsetof(AttachInput, resume), JSON_FIELD_LENIENT, 0, 0,
          "only if nobody else has attached since" },
        { "tail", JSON_FIELD_INT, offsetof(AttachInput, tail), JSON_FIELD_CLAMP, -1, OFFSET_MAX,
          "begin with the last bytes instead" },
};
const JsonTable terminal_attach_table = JSON_TABLE(attach_fields);

int attach_input_read(Request *request, AttachInput *ret, sd_bus_error *error) {
        *ret = (AttachInput) { .tail = -1 };
        return json_table_read(request_input(request), &terminal_attach_table, ret, error);
}

void attach_input_done(AttachInput *in) {
        json_fields_done(attach_fields, ELEMENTSOF(attach_fields), in);
}

static uint64_t first_position(const AttachInput *in, const Command *c) {
        uint64_t total = spool_total(c->outputs[0].spool);

        return in->tail < 0 ? (uint64_t) in->offset : total - MIN(total, (uint64_t) in->tail);
}

int api_terminal_attach(const AttachInput *in, Command *c, void (*wake)(void *userdata), void *userdata,
                        TerminalReader **ret, sd_bus_error *error) {
        int r;

        r = terminal_attach(c, in->holder ?: "", in->resume, first_position(in, c), wake, userdata, ret);
        if (r == -EBUSY)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Another one has attached to terminal %s", c->id);
        return r;
}

typedef struct TerminalStream {
        Request *request;
        TerminalReader *reader;
} TerminalStream;

static ssize_t stream_read(void *userdata, char *buffer, size_t size) {
        TerminalStream *s = userdata;

        return terminal_reader_read(s->reader, buffer, size);
}

static void stream_free(void *userdata) {
        TerminalStream *s = userdata;

        terminal_reader_free(s->reader);
        free(s);
}

static void stream_wake(void *userdata) {
        TerminalStream *s = userdata;

        request_stream_wake(s->request);
}

int api_terminal_stream(Request *request, sd_bus_error *error) {
        _cleanup_(attach_input_done) AttachInput in = {};
        _cleanup_free_ TerminalStream *s = NULL;
        char number[24];
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        if (r >= 0)
                r = attach_input_read(request, &in, error);
        if (r < 0)
                return r;
        s = new0(TerminalStream, 1);
        if (!s)
                return -ENOMEM;
        s->request = request;
        r = api_terminal_attach(&in, c, stream_wake, s, &s->reader, error);
        if (r < 0)
                return r;
        (void) snprintf(number, sizeof number, "%" PRIu64, terminal_reader_position(s->reader));
        (void) request_add_header(request, OFFSET_HEADER, number);
        return request_reply_stream(request, 200, "application/octet-stream",
                                    &(ReplySource) { .read = stream_read, .free = stream_free,
                                                     .userdata = TAKE_PTR(s) });
}

/* One request's worth of keys. */
typedef struct TerminalInput {
        Request *request;
        TerminalWriter *writer;
        uint64_t written;
} TerminalInput;

static void input_free(TerminalInput *in) {
        terminal_writer_free(in->writer);
        free(in);
}

static void on_more(void *userdata) {
        TerminalInput *in = userdata;

        request_body_wake(in->request);
}

/* What a terminal that has ended does not take is dropped, so that the client hears an answer. */
static ssize_t on_data(void *userdata, const char *data, size_t n) {
        TerminalInput *in = userdata;
        ssize_t k = terminal_writer_write(in->writer, data, n);

        if (k == -EPIPE)
                return (ssize_t) n;
        if (k > 0)
                in->written += (uint64_t) k;
        return k;
}

static int on_end(void *userdata, sd_bus_error *error) {
        TerminalInput *in = userdata;
        Request *request = in->request;
        uint64_t written = in->written;

        (void) error;
        request_on_gone(request, NULL, NULL);
        input_free(in);
        return request_reply_json(request, 200, json_pack("{s:b, s:I}", "success", 1, "written",
                                                          (json_int_t) written));
}

static void on_gone(Request *request, void *userdata) {
        (void) request;
        input_free(userdata);
}

int api_terminal_input(Request *request, sd_bus_error *error) {
        TerminalInput *in;
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        if (r < 0)
                return r;
        if (c->stdin_fd < 0 && !terminal_is_awaited(c))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Terminal is not running: %s", c->id);
        in = new0(TerminalInput, 1);
        if (!in)
                return -ENOMEM;
        in->request = request;
        r = terminal_writer_new(c, on_more, in, &in->writer);
        if (r >= 0)
                r = request_receive(request, &(BodySink) { .write = on_data, .end = on_end, .userdata = in });
        if (r < 0) {
                input_free(in);
                return r;
        }
        request_on_gone(request, on_gone, in);
        return 1;
}
