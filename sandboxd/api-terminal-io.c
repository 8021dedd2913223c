/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/terminal.h"

/* The bytes of a terminal, raw in both directions. What it shows is one long response, whose end says that there is
 * something to ask the terminal for: did it end, did another one take over? What is typed are requests, one after the
 * other, each answered when the kernel has all of it. */

#define OFFSET_HEADER "X-Terminal-Offset"

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

typedef struct StreamInput {
        int64_t offset, tail;
        char *holder;
        bool resume;
} StreamInput;

#define OFFSET_MAX ((double) (UINT64_C(1) << 53))

static const JsonField stream_fields[] = {
        { "holder", JSON_FIELD_STRING, offsetof(StreamInput, holder), 0, 0, TERMINAL_HOLDER_MAX,
          "who attaches, for a later resume" },
        { "offset", JSON_FIELD_INT, offsetof(StreamInput, offset), JSON_FIELD_CLAMP, 0, OFFSET_MAX,
          "byte position to go on from" },
        { "resume", JSON_FIELD_BOOL, offsetof(StreamInput, resume), JSON_FIELD_LENIENT, 0, 0,
          "only if nobody else has attached since" },
        { "tail", JSON_FIELD_INT, offsetof(StreamInput, tail), JSON_FIELD_CLAMP, -1, OFFSET_MAX,
          "begin with the last bytes instead" },
};
const JsonTable terminal_stream_table = JSON_TABLE(stream_fields);

static void stream_input_done(StreamInput *in) {
        json_fields_done(stream_fields, ELEMENTSOF(stream_fields), in);
}

static uint64_t first_position(const StreamInput *in, const Command *c) {
        uint64_t total = spool_total(c->outputs[0].spool);

        return in->tail < 0 ? (uint64_t) in->offset : total - MIN(total, (uint64_t) in->tail);
}

int api_terminal_stream(Request *request, sd_bus_error *error) {
        _cleanup_(stream_input_done) StreamInput in = { .tail = -1 };
        _cleanup_free_ TerminalStream *s = NULL;
        char number[24];
        Command *c;
        int r;

        r = api_get_terminal(request, &c, error);
        if (r >= 0)
                r = json_fields_read(request_input(request), stream_fields, ELEMENTSOF(stream_fields), &in, error);
        if (r < 0)
                return r;
        s = new0(TerminalStream, 1);
        if (!s)
                return -ENOMEM;
        s->request = request;
        r = terminal_attach(c, in.holder ?: "", in.resume, first_position(&in, c), stream_wake, s, &s->reader);
        if (r == -EBUSY)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Another one has attached to terminal %s", c->id);
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
        Command *command;
        sd_event_source *writable; /* once the terminal takes no more for now */
        TerminalWaiter waiter;     /* until there is something to write to */
        uint64_t written;
} TerminalInput;

static void input_free(TerminalInput *in) {
        sd_event_source_disable_unref(in->writable);
        terminal_unwait(in->command, &in->waiter);
        command_unref(in->command);
        free(in);
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        TerminalInput *in = userdata;

        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        request_body_wake(in->request);
        return 0;
}

static void on_settled(void *userdata) {
        TerminalInput *in = userdata;

        request_body_wake(in->request);
}

/* By a descriptor of its own: there may be several requests at a time. */
static int wait_writable(TerminalInput *in) {
        int fd, r;

        if (in->writable)
                return sd_event_source_set_enabled(in->writable, SD_EVENT_ONESHOT);
        fd = fcntl(in->command->stdin_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;
        r = sd_event_add_io(in->command->manager->event, &in->writable, fd, EPOLLOUT, on_writable, in);
        if (r < 0) {
                safe_close(fd);
                return r;
        }
        (void) sd_event_source_set_io_fd_own(in->writable, true);
        return sd_event_source_set_enabled(in->writable, SD_EVENT_ONESHOT);
}

/* What a terminal that has ended does not take is dropped, so that the client hears an answer. */
static ssize_t on_data(void *userdata, const char *data, size_t n) {
        TerminalInput *in = userdata;
        ssize_t k;
        int r;

        if (terminal_is_awaited(in->command)) {
                terminal_wait(in->command, &in->waiter);
                return 0;
        }
        k = command_write_input(in->command, data, n);
        if (k == -EPIPE)
                return (ssize_t) n;
        if (k < 0)
                return k;
        if ((size_t) k < n) {
                r = wait_writable(in);
                if (r < 0)
                        return r;
        }
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
        *in = (TerminalInput) { .request = request, .command = command_ref(c),
                                .waiter = { .wake = on_settled, .userdata = in } };
        r = request_receive(request, &(BodySink) { .write = on_data, .end = on_end, .userdata = in });
        if (r < 0) {
                input_free(in);
                return r;
        }
        request_on_gone(request, on_gone, in);
        return 1;
}
