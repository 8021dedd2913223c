/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/http/sse.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/json-text.h"
#include "sandboxd/log-watch.h"

/* What a sandbox says: the lines of all its background commands, of which the entrypoint is one, in the order in which
 * they came. Each command's output stands in its spool; a stream is a place in each of them, so that a slow client
 * holds nobody up and costs nothing but its place. What of a spool is no longer kept when he comes to it is a gap. */

#define TAIL_MAX 10000
#define LINE_MAX_BYTES 8192U
#define FRAME_MAX (LINE_MAX_BYTES * JSON_ESCAPE_FACTOR + 256U)

typedef struct LogSource LogSource;

struct LogSource {
        LogSource *next;
        Command *command;
        Spool *spool;           /* NULL: all of it is read */
        uint64_t cursor;
        uint64_t line_end;      /* of the next line; cursor: none is known */
        uint64_t line_msec;
};

typedef struct LogStream {
        Request *request;
        Manager *manager;
        Sandbox *sandbox;
        LogSource *sources;
        LogWatch *watch;
        EventListener *listener;
        uint64_t skip;          /* lines that are more than the tail */
        uint64_t dropped;
        bool follow, binary, commands;
        bool fresh;             /* commands may have come or said something */
        bool ended;
} LogStream;

static LogSource *source_free(LogSource *source) {
        spool_unref(source->spool);
        command_unref(source->command);
        free(source);
        return NULL;
}

static void stream_free(void *userdata) {
        LogStream *s = userdata;

        while (s->sources) {
                LogSource *source = s->sources;

                s->sources = source->next;
                source_free(source);
        }
        log_watch_free(s->watch);
        event_unlisten(s->listener);
        sandbox_unref(s->sandbox);
        free(s);
}

/* The place where the last n lines of what is there begin, and how many they are. The middle that is lost ends the
 * search. */
static uint64_t find_tail(Spool *spool, uint64_t n, uint64_t *ret_found) {
        uint64_t total = spool_total(spool), floor = total > SPOOL_HEAD_MAX ? spool_tail_start(spool) : 0;
        uint64_t at = total, found = 0;
        char block[4096];

        while (at > floor && n > 0) {
                uint64_t begin = at - MIN(at - floor, (uint64_t) sizeof block), cursor = begin;
                ssize_t k = spool_read(spool, &cursor, block, (size_t) (at - begin));

                if (k <= 0)
                        break;
                for (ssize_t i = k - 1; i >= 0; i--) {
                        if (block[i] != '\n' || begin + (uint64_t) i + 1 == total)
                                continue;
                        if (++found == n) {
                                *ret_found = n;
                                return begin + (uint64_t) i + 1;
                        }
                }
                at = begin;
        }
        *ret_found = n > 0 && total > floor ? found + 1 : 0;
        return n > 0 ? floor : total;
}

static bool is_known(const LogStream *s, const Command *c) {
        for (const LogSource *source = s->sources; source; source = source->next)
                if (source->command == c)
                        return true;
        return false;
}

static int add_source(LogStream *s, Command *c, uint64_t tail, uint64_t *lines) {
        LogSource *source = new0(LogSource, 1);
        uint64_t found = 0;

        if (!source)
                return -ENOMEM;
        source->command = command_ref(c);
        source->spool = spool_ref(c->outputs[0].spool);
        if (tail != UINT64_MAX)
                source->cursor = find_tail(source->spool, tail, &found);
        source->line_end = source->cursor;
        source->next = s->sources;
        s->sources = source;
        *lines += found;
        return 0;
}

/* tail UINT64_MAX: from their begin, as of commands that came later. */
static int find_sources(LogStream *s, uint64_t tail) {
        uint64_t lines = 0;
        Command *c;
        int r = 0;

        HASHMAP_FOREACH(c, s->manager->commands)
                if (r >= 0 && c->sandbox == s->sandbox && c->kind == COMMAND_BACKGROUND && c->outputs[0].spool &&
                    !is_known(s, c))
                        r = add_source(s, c, tail, &lines);
        if (tail != UINT64_MAX)
                s->skip = lines > tail ? lines - tail : 0;
        return r;
}

/* What he came too late for. */
static void pass_gap(LogStream *s, LogSource *source) {
        uint64_t start = spool_tail_start(source->spool);

        if (source->cursor >= SPOOL_HEAD_MAX && source->cursor < start) {
                s->dropped += start - source->cursor;
                source->cursor = source->line_end = start;
        }
}

/* The next line with its end, or what there is of it when it is too long, or when no more of it will come. */
static void find_line(LogStream *s, LogSource *source) {
        char line[LINE_MAX_BYTES];
        uint64_t cursor;
        const char *end;
        ssize_t n;

        pass_gap(s, source);
        if (source->line_end > source->cursor)
                return;
        cursor = source->cursor;
        n = spool_read(source->spool, &cursor, line, sizeof line);
        if (n <= 0) {
                if (!command_is_live(source->command))
                        source->spool = spool_unref(source->spool);
                return;
        }
        end = memchr(line, '\n', (size_t) n);
        if (end)
                n = end + 1 - line;
        else if ((size_t) n < sizeof line && command_is_live(source->command) && s->follow &&
                 cursor == spool_total(source->spool))
                return;
        source->line_end = source->cursor + (uint64_t) n;
        source->line_msec = output_times_at(&source->command->times, source->cursor,
                                            source->command->started_msec);
}

/* Of all that have a line, the one whose came first. */
static LogSource *first_source(LogStream *s) {
        LogSource *first = NULL;

        for (LogSource *source = s->sources; source; source = source->next) {
                if (source->spool)
                        find_line(s, source);
                if (source->spool && source->line_end > source->cursor &&
                    (!first || source->line_msec < first->line_msec))
                        first = source;
        }
        return first;
}

static size_t format_time(uint64_t msec, char *out) {
        time_t seconds = (time_t) (msec / 1000);
        struct tm tm = {};

        (void) gmtime_r(&seconds, &tm);
        return strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm) +
               (size_t) sprintf(out + strlen("2000-01-01T00:00:00"), ".%03uZ ", (unsigned) (msec % 1000));
}

/* As text with its time before it, or to the byte. */
static size_t frame_line(LogStream *s, LogSource *source, char *frame) {
        size_t n = (size_t) sprintf(frame, "data: {\"type\":\"stdout\",%s\"data\":\"",
                                    s->binary ? "\"encoding\":\"base64\"," : ""), k = 0;
        char line[LINE_MAX_BYTES];
        ssize_t size;

        size = spool_read(source->spool, &source->cursor, line, (size_t) (source->line_end - source->cursor));
        source->cursor = source->line_end;
        size = MAX(size, (ssize_t) 0);
        if (s->binary)
                k = base64_encode(line, (size_t) size, frame + n);
        else {
                n += format_time(source->line_msec, frame + n);
                if (size > 0 && line[size - 1] == '\n')
                        size--;
                (void) json_escape(line, (size_t) size, /* last= */ true, frame + n, &k);
        }
        n += k;
        n += (size_t) sprintf(frame + n, "\",\"timestamp\":%" PRIu64, source->line_msec);
        if (s->commands)
                n += (size_t) sprintf(frame + n, ",\"commandId\":\"%s\"", source->command->id);
        return n + (size_t) sprintf(frame + n, "}\n\n");
}

static size_t frame_end(LogStream *s, char *frame) {
        s->ended = true;
        return (size_t) sprintf(frame, "data: {\"type\":\"end\",\"data\":\"\",\"timestamp\":%" PRIu64 "}\n\n",
                                now_usec(CLOCK_REALTIME) / USEC_PER_MSEC);
}

static ssize_t stream_next(void *userdata, char *frame) {
        LogStream *s = userdata;
        LogSource *source;

        if (s->ended)
                return -ENODATA;
        if (s->fresh) {
                s->fresh = false;
                if (find_sources(s, UINT64_MAX) < 0)
                        return -ENOMEM;
        }
        while ((source = first_source(s)) && s->skip > 0) {
                source->cursor = source->line_end;
                s->skip--;
        }
        if (s->dropped > 0) {
                uint64_t dropped = s->dropped;

                s->dropped = 0;
                return sprintf(frame, ": gap %" PRIu64 "\n\n", dropped);
        }
        s->skip = 0;
        if (source)
                return (ssize_t) frame_line(s, source, frame);
        if (!s->follow || s->sandbox->leaving || !sandbox_is_live(s->sandbox))
                return (ssize_t) frame_end(s, frame);
        return 0;
}

static void on_output(void *userdata) {
        LogStream *s = userdata;

        s->fresh = true;
        request_stream_wake(s->request);
}

/* The end of the sandbox is one, too. */
static void on_event(const Event *event, void *userdata) {
        LogStream *s = userdata;

        if (streq(event->sandbox, s->sandbox->public_id))
                request_stream_wake(s->request);
}

typedef struct LogsInput {
        int64_t tail;
        bool follow, binary, commands;
} LogsInput;

static const JsonField logs_fields[] = {
        { "binary",   JSON_FIELD_BOOL, offsetof(LogsInput, binary),   JSON_FIELD_LENIENT, 0, 0,
          "lines as base64, to the byte and without a time" },
        { "commands", JSON_FIELD_BOOL, offsetof(LogsInput, commands), JSON_FIELD_LENIENT, 0, 0,
          "with the id of the command that said it" },
        { "follow",   JSON_FIELD_BOOL, offsetof(LogsInput, follow),   JSON_FIELD_LENIENT, 0, 0,
          "go on until the sandbox ends" },
        { "tail",     JSON_FIELD_INT,  offsetof(LogsInput, tail),     JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 0,
          TAIL_MAX, "last lines of what was said" },
};
const JsonTable stream_logs_table = JSON_TABLE(logs_fields);

static int stream_logs(Request *request, void *userdata, sd_bus_error *error) {
        const LogsInput *input = userdata;
        Sandbox *sandbox;
        LogStream *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &sandbox, error);
        if (r < 0)
                return r;
        s = new0(LogStream, 1);
        if (!s)
                return -ENOMEM;
        *s = (LogStream) { .request = request, .manager = request_userdata(request), .sandbox = sandbox_ref(sandbox),
                           .follow = input->follow, .binary = input->binary, .commands = input->commands };
        r = find_sources(s, (uint64_t) input->tail);
        if (r >= 0)
                r = log_watch_new(s->manager, sandbox, on_output, s, &s->watch);
        if (r >= 0)
                r = event_listen(s->manager->events, on_event, s, &s->listener);
        if (r < 0) {
                stream_free(s);
                return r;
        }
        (void) request_add_header(request, "Cache-Control", "no-cache");
        return request_reply_events(request, s->manager->event, &(SseSource) {
                        .next = stream_next, .free = stream_free, .userdata = s, .frame_max = FRAME_MAX });
}

int api_stream_logs(Request *request, sd_bus_error *error) {
        static const ApiInput route = { logs_fields, ELEMENTSOF(logs_fields), stream_logs };

        return api_with_input(request, &route, &(LogsInput) { .tail = 100, .follow = true }, error);
}
