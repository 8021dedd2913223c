/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/http/sse.h"
#include "sandboxd/json-text.h"

/* Output as it comes, as server-sent events. What the client does not take in time waits here, up
 * to RING_BYTES; then the command's pipes are not read for a while. A client that makes room in STALL_USEC loses
 * nothing; for another one the command goes on, the oldest output goes, and a comment says how much. Who asked for
 * "lossless" holds his command up as long as he likes. JSON escapes line breaks, so output cannot forge an event. */

#define RING_BYTES (1 * MiB)
#define CHUNK_MAX (16U * 1024)
#define STALL_USEC USEC_PER_SEC
#define FRAME_MAX (CHUNK_MAX * JSON_ESCAPE_FACTOR + 256U)

typedef struct Chunk Chunk;

struct Chunk {
        Chunk *next;
        bool is_stderr;
        uint64_t time_msec;
        size_t n;
        char data[];
};

/* The begin of a UTF-8 sequence whose rest has not been read yet. */
typedef struct Carry {
        char data[4];
        size_t n;
} Carry;

typedef struct ExecStream {
        Request *request;
        Command *command;
        bool streaming, binary, lossless, paused, dropping, announce, ended;
        Chunk *first, **last;
        uint64_t bytes, dropped;
        Carry carries[2];
        sd_event_source *stall;
} ExecStream;

static void stream_free(ExecStream *s) {
        while (s->first) {
                Chunk *c = s->first;

                s->first = c->next;
                free(c);
        }
        sd_event_source_disable_unref(s->stall);
        command_unref(s->command);
        free(s);
}

static uint64_t wall_msec(void) {
        return now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
}

static void drop_first(ExecStream *s) {
        Chunk *c = s->first;

        s->first = c->next;
        if (!s->first)
                s->last = &s->first;
        s->bytes -= c->n;
        free(c);
}

static void push(ExecStream *s, bool is_stderr, const char *data, size_t n) {
        Chunk *c;

        while (s->dropping && s->first && s->bytes + n > RING_BYTES) {
                s->dropped += s->first->n;
                drop_first(s);
        }
        c = malloc(sizeof(Chunk) + n);
        if (!c) {
                s->dropped += n;
                return;
        }
        *c = (Chunk) { .is_stderr = is_stderr, .time_msec = wall_msec(), .n = n };
        memcpy(c->data, data, n);
        *s->last = c;
        s->last = &c->next;
        s->bytes += c->n;
}

static void hold_up(ExecStream *s) {
        s->paused = true;
        command_set_reading(s->command, false);
        if (!s->lossless) {
                (void) sd_event_source_set_time_relative(s->stall, STALL_USEC);
                (void) sd_event_source_set_enabled(s->stall, SD_EVENT_ONESHOT);
        }
}

static void go_on(ExecStream *s) {
        s->paused = false;
        command_set_reading(s->command, true);
        (void) sd_event_source_set_enabled(s->stall, SD_EVENT_OFF);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        ExecStream *s = userdata;

        (void) source;
        (void) usec;
        s->dropping = true;
        go_on(s);
        return 0;
}

static void on_output(Command *command, bool is_stderr, const char *data, size_t n, void *userdata) {
        ExecStream *s = userdata;
        Carry *carry = s->carries + is_stderr;

        (void) command;
        while (n > 0) {
                size_t take = MIN(n, (size_t) CHUNK_MAX - sizeof carry->data), cut;
                char joined[CHUNK_MAX];

                memcpy(joined, carry->data, carry->n);
                memcpy(joined + carry->n, data, take);
                cut = s->binary ? 0 : utf8_cut(joined, carry->n + take);
                if (carry->n + take > cut)
                        push(s, is_stderr, joined, carry->n + take - cut);
                memmove(carry->data, joined + carry->n + take - cut, cut);
                carry->n = cut;
                data += take;
                n -= take;
        }
        if (s->bytes >= RING_BYTES && !s->paused && !s->dropping)
                hold_up(s);
        if (s->streaming)
                request_stream_wake(s->request);
}

static size_t frame_chunk(const ExecStream *s, const Chunk *c, char *frame) {
        size_t n = (size_t) sprintf(frame, "data: {\"type\":\"%s\",%s\"data\":\"", c->is_stderr ? "stderr" : "stdout",
                                    s->binary ? "\"encoding\":\"base64\"," : "");
        size_t k;

        if (s->binary)
                k = base64_encode(c->data, c->n, frame + n);
        else
                (void) json_escape(c->data, c->n, /* last= */ true, frame + n, &k);
        n += k;
        return n + (size_t) sprintf(frame + n, "\",\"timestamp\":%llu}\n\n", (unsigned long long) c->time_msec);
}

/* -1 for what has no exit code: ended at its time limit, or together with its sandbox. */
static size_t frame_exit(const Command *c, char *frame) {
        size_t n;

        n = (size_t) sprintf(frame, "data: {\"type\":\"exit\",\"data\":\"%d\",\"timestamp\":%llu%s%s",
                             c->timed_out ? -1 : command_exit_code(c), (unsigned long long) wall_msec(),
                             c->timed_out ? ",\"timedOut\":true" : "", c->oom ? ",\"oom\":true" : "");
        if (c->state == COMMAND_EXITED && c->code != CLD_EXITED)
                n += (size_t) sprintf(frame + n, ",\"signal\":%d", c->status);
        return n + (size_t) sprintf(frame + n, "}\n\n");
}

static size_t frame_start(const Command *c, char *frame) {
        return (size_t) sprintf(frame, "data: {\"type\":\"start\",\"id\":\"%s\",\"data\":\"%s\",\"pid\":%u,"
                                       "\"timestamp\":%llu}\n\n",
                                c->id, c->id, c->pid, (unsigned long long) wall_msec());
}

static size_t frame_gap(ExecStream *s, char *frame) {
        uint64_t dropped = s->dropped;

        s->dropped = 0;
        return (size_t) sprintf(frame, ": gap %llu\n\n", (unsigned long long) dropped);
}

static size_t frame_first(ExecStream *s, char *frame) {
        size_t n = frame_chunk(s, s->first, frame);

        drop_first(s);
        if (s->bytes < RING_BYTES / 2) {
                s->dropping = false;
                if (s->paused)
                        go_on(s);
        }
        return n;
}

static ssize_t stream_next(void *userdata, char *frame) {
        ExecStream *s = userdata;

        if (s->announce) {
                s->announce = false;
                return (ssize_t) frame_start(s->command, frame);
        }
        if (s->dropped > 0)
                return (ssize_t) frame_gap(s, frame);
        if (s->first)
                return (ssize_t) frame_first(s, frame);
        if (s->ended)
                return -ENODATA;
        if (command_is_live(s->command))
                return 0;
        s->ended = true;
        return (ssize_t) frame_exit(s->command, frame);
}

/* The end, or the client went away: its command is ended with it. */
static void stream_done(void *userdata) {
        ExecStream *s = userdata;

        command_set_handlers(s->command, NULL, NULL);
        command_set_reading(s->command, true);
        command_kill(s->command);
        stream_free(s);
}

static void on_started(Command *c, void *userdata) {
        ExecStream *s = userdata;

        (void) c;
        request_on_gone(s->request, NULL, NULL);
        (void) request_add_header(s->request, "Cache-Control", "no-cache");
        s->streaming = true;
        (void) request_reply_events(s->request, sd_event_source_get_event(s->stall),
                                    &(SseSource) { .next = stream_next, .free = stream_done, .userdata = s,
                                                   .frame_max = FRAME_MAX });
}

static void on_failed(Command *c, const sd_bus_error *error, void *userdata) {
        ExecStream *s = userdata;

        (void) c;
        request_on_gone(s->request, NULL, NULL);
        (void) request_reply_error(s->request, error);
        stream_free(s);
}

static void on_finished(Command *c, void *userdata) {
        ExecStream *s = userdata;

        (void) c;
        for (size_t i = 0; i < ELEMENTSOF(s->carries); i++)
                if (s->carries[i].n > 0)
                        push(s, i == 1, s->carries[i].data, s->carries[i].n);
        request_stream_wake(s->request);
}

static const CommandHandlers stream_handlers = {
        .on_started = on_started,
        .on_failed = on_failed,
        .on_output = on_output,
        .on_finished = on_finished,
};

/* Before the first byte of the reply. */
static void on_client_gone(Request *request, void *userdata) {
        (void) request;
        stream_done(userdata);
}

static int stream_new(Request *request, ExecStream **ret) {
        Manager *m = request_userdata(request);
        ExecStream *s = new0(ExecStream, 1);
        int r;

        if (!s)
                return -ENOMEM;
        s->request = request;
        s->last = &s->first;
        r = sd_event_add_time_relative(m->event, &s->stall, CLOCK_MONOTONIC, STALL_USEC, 0, on_stall, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->stall, SD_EVENT_OFF);
        if (r < 0) {
                stream_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

int api_exec_stream(Request *request, sd_bus_error *error) {
        _cleanup_(exec_input_done) ExecInput input = { .spec = COMMAND_SPEC_DEFAULT };
        ExecStream *stream;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r >= 0)
                r = exec_input_read(request, s, EXEC_INPUT_STDIN_PIPE, &input, error);
        if (r >= 0)
                r = stream_new(request, &stream);
        if (r < 0)
                return r;
        stream->announce = input.input.pipe;
        stream->binary = input.binary;
        stream->lossless = input.lossless || input.binary;

        r = command_new(request_userdata(request), s, COMMAND_STREAM, input.text, &stream->command);
        if (r >= 0)
                r = command_start(stream->command, &input.spec, &input.input, &stream_handlers, stream);
        if (r < 0) {
                stream_free(stream);
                return api_unavailable(r, error);
        }
        request_on_gone(request, on_client_gone, stream);
        return 1;
}
