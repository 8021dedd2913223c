/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/event-feed.h"
#include "sandboxd/http/sse.h"
#include "sandboxd/json-fields.h"

/* Events as clients see them: pages of what was, what comes as a stream, and their own among them. */

#define HISTORY_LIMIT_MAX 1000
#define DATA_MAX (64 * KiB)
#define SANDBOX_NAME_MAX 128

typedef struct HistoryInput {
        char *sandbox, *topic, *before;
        int64_t limit, offset, since, until;
} HistoryInput;

#define MSEC_MAX ((double) (UINT64_C(1) << 53))

static const JsonField history_fields[] = {
        { "before",    JSON_FIELD_STRING, offsetof(HistoryInput, before),  JSON_FIELD_LENIENT, 0, 0,
          "id of an event: only those before it, for the next page" },
        { "limit",     JSON_FIELD_INT,    offsetof(HistoryInput, limit),   JSON_FIELD_CLAMP, 1, HISTORY_LIMIT_MAX,
          "events a page" },
        { "offset",    JSON_FIELD_INT,    offsetof(HistoryInput, offset),  JSON_FIELD_CLAMP, 0, 1000000000,
          "events that are left out" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(HistoryInput, sandbox), JSON_FIELD_LENIENT, 0, 0,
          "only of this sandbox" },
        { "since",     JSON_FIELD_INT,    offsetof(HistoryInput, since),   JSON_FIELD_CLAMP, 0, MSEC_MAX,
          "not older, milliseconds since the epoch" },
        { "topic",     JSON_FIELD_STRING, offsetof(HistoryInput, topic),   JSON_FIELD_LENIENT, 0, 0,
          "only with exactly this topic" },
        { "until",     JSON_FIELD_INT,    offsetof(HistoryInput, until),   JSON_FIELD_CLAMP, 0, MSEC_MAX,
          "older, milliseconds since the epoch" },
};
const JsonTable event_history_table = JSON_TABLE(history_fields);

static int on_number(const StoredObject *row, void *userdata) {
        *(uint64_t *) userdata = row->number;
        return 0;
}

/* Conditions of time and the cursor are turned into numbers, which all indexes are sorted by. *ret_empty: there can be
 * nothing between them. */
static int bound_query(Manager *m, const HistoryInput *input, ObjectQuery *q, bool *ret_empty, sd_bus_error *error) {
        uint64_t first = 0, cursor = 0;

        if (input->before) {
                (void) store_foreach_object(m->store, &(ObjectQuery) { .kind = EVENT_KIND, .id = input->before,
                                                                       .limit = 1 }, on_number, &cursor);
                if (cursor == 0)
                        return bus_error_set(error, BUS_ERROR_INVALID, "before names no event that is remembered");
                q->before = cursor;
        }
        if (input->until > 0) {
                uint64_t end = event_hub_number_at(m->events, (uint64_t) input->until);

                q->before = q->before > 0 ? MIN(q->before, end) : MAX(end, UINT64_C(1));
        }
        if (input->since > 0)
                first = event_hub_number_at(m->events, (uint64_t) input->since);
        q->after = first > 0 ? first - 1 : 0;
        *ret_empty = q->before > 0 && q->before <= q->after + 1;
        return 0;
}

static int on_event_row(const StoredObject *row, void *userdata) {
        Event event = event_from_row(row);

        return json_array_append_new(userdata, event_to_json(&event)) < 0 ? -ENOMEM : 0;
}

/* The total is that of sandbox and topic: what follows a cursor, or lies between two times, would have to be counted
 * one by one. */
static int reply_history(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *events = json_array();
        Manager *m = request_userdata(request);
        const HistoryInput *input = userdata;
        ObjectQuery q = { .kind = EVENT_KIND, .sandbox = input->sandbox, .tag = input->topic, .newest_first = true,
                          .offset = (uint64_t) input->offset, .limit = (uint64_t) input->limit };
        uint64_t total = 0;
        bool empty = false;
        int r;

        event_hub_flush(m->events); /* who asks behind what he did finds it */
        r = bound_query(m, input, &q, &empty, error);
        if (r >= 0)
                r = store_count_objects(m->store, EVENT_KIND, q.sandbox, q.tag, &total);
        if (r >= 0 && !empty)
                r = store_foreach_object(m->store, &q, on_event_row, events);
        if (r < 0)
                return r;
        return request_reply_json_exact(request, 200, json_pack("{s:O, s:I}", "events", events, "total",
                                                                (json_int_t) total));
}

int api_event_history(Request *request, sd_bus_error *error) {
        static const ApiInput route = { history_fields, ELEMENTSOF(history_fields), reply_history };

        return api_with_input(request, &route, &(HistoryInput) { .limit = 50 }, error);
}

typedef struct PublishInput {
        char *sandbox, *topic;
        json_t *data;
} PublishInput;

static const JsonField publish_fields[] = {
        { "data",      JSON_FIELD_OBJECT, offsetof(PublishInput, data),    0, 0, 0, "anything, up to 64 KiB" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(PublishInput, sandbox), JSON_FIELD_MANDATORY, 0, SANDBOX_NAME_MAX,
          "whom it is about; need not exist" },
        { "topic",     JSON_FIELD_STRING, offsetof(PublishInput, topic),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, 0, "1 to 128 visible characters" },
};
const JsonTable event_publish_table = JSON_TABLE(publish_fields);

static int publish(Request *request, void *userdata, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const PublishInput *input = userdata;
        Event event = { .topic = input->topic, .sandbox = input->sandbox, .data = "{}" };
        _cleanup_free_ char *data = NULL;
        EventStamp stamp;

        if (!event_topic_is_valid(input->topic))
                return bus_error_set(error, BUS_ERROR_INVALID, "topic must be 1 to 128 visible characters");
        data = input->data ? json_dumps(input->data, JSON_COMPACT) : NULL;
        if (data && strlen(data) > DATA_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "data must be at most %u bytes", (unsigned) DATA_MAX);
        event_hub_publish(m->events, input->topic, input->sandbox, json_incref(input->data), &stamp);
        if (isempty(stamp.id))
                return -ENOMEM;
        event_hub_flush(m->events); /* who is told that it is kept may rely on it */
        event.id = stamp.id;
        event.time_msec = stamp.time_msec;
        if (data)
                event.data = data;
        return request_reply_json_exact(request, 200, event_to_json(&event));
}

int api_event_publish(Request *request, sd_bus_error *error) {
        static const ApiInput route = { publish_fields, ELEMENTSOF(publish_fields), publish };

        return api_with_input(request, &route, &(PublishInput) {}, error);
}

/* A stream of events. What waits for a slow client is his place among the events, nothing more. */
typedef struct EventStream {
        Request *request;
        EventReader *reader;
        EventFrame *frame;      /* on its way, up to sent */
        size_t sent;
        bool ids;
} EventStream;

#define PIECE_MAX 4096U

static void stream_free(void *userdata) {
        EventStream *s = userdata;

        event_frame_unref(s->frame);
        event_reader_free(s->reader);
        free(s);
}

/* A frame may be long, so it goes out in pieces. */
static ssize_t next_piece(EventStream *s, char *out) {
        size_t n = MIN(s->frame->n - s->sent, (size_t) PIECE_MAX);

        memcpy(out, s->frame->text + s->sent, n);
        s->sent += n;
        if (s->sent == s->frame->n)
                s->frame = event_frame_unref(s->frame);
        return (ssize_t) n;
}

static ssize_t put_comment(const char *text, char *out) {
        memcpy(out, text, strlen(text));
        return (ssize_t) strlen(text);
}

static ssize_t stream_next(void *userdata, char *out) {
        EventStream *s = userdata;
        int r;

        if (s->frame)
                return next_piece(s, out);
        r = event_reader_next(s->reader, &s->frame);
        if (r == -ERANGE)
                return put_comment(": gap\n\n", out);
        if (r == -EAGAIN) /* so that the others get their turn, too */
                return put_comment(": looking\n\n", out);
        if (r <= 0)
                return r;
        s->sent = s->ids && s->frame->number > 0 ? 0 : s->frame->n_id;
        return next_piece(s, out);
}

static void stream_wake(void *userdata) {
        EventStream *s = userdata;

        request_stream_wake(s->request);
}

typedef struct StreamInput {
        char *topic, *sandbox;
        bool ids;
} StreamInput;

static const JsonField stream_fields[] = {
        { "ids",       JSON_FIELD_BOOL,   offsetof(StreamInput, ids),     JSON_FIELD_LENIENT, 0, 0,
          "with the id that Last-Event-ID takes" },
        { "sandboxId", JSON_FIELD_STRING, offsetof(StreamInput, sandbox), JSON_FIELD_LENIENT, 0, 0,
          "only of this sandbox" },
        { "topic",     JSON_FIELD_STRING, offsetof(StreamInput, topic),   JSON_FIELD_LENIENT, 0, 0,
          "exact, or the begin of it with a '*'; default: sandbox.*" },
};
const JsonTable stream_events_table = JSON_TABLE(stream_fields);

/* Clients of the contract know no ids and get none: whoever sends one does. */
static int stream_events(Request *request, void *userdata, sd_bus_error *error) {
        const char *last = request_header(request, "Last-Event-ID");
        Manager *m = request_userdata(request);
        const StreamInput *input = userdata;
        EventReaderOptions options = { .filter = { isempty(input->topic) ? "sandbox.*" : input->topic, input->sandbox },
                                       .wake = stream_wake };
        EventStream *s;
        int r;

        if (!isempty(last) && parse_u64(last, &options.after) < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "Last-Event-ID must be a number");
        options.resume = !isempty(last);
        s = new0(EventStream, 1);
        if (!s)
                return -ENOMEM;
        s->request = request;
        s->ids = input->ids || options.resume;
        options.userdata = s;
        r = event_reader_new(m->feed, &options, &s->reader);
        if (r < 0) {
                free(s);
                return r;
        }
        (void) request_add_header(request, "Cache-Control", "no-cache");
        return request_reply_events(request, m->event, &(SseSource) { .next = stream_next, .free = stream_free,
                                                                      .userdata = s, .frame_max = PIECE_MAX });
}

int api_stream_events(Request *request, sd_bus_error *error) {
        static const ApiInput route = { stream_fields, ELEMENTSOF(stream_fields), stream_events };

        return api_with_input(request, &route, &(StreamInput) {}, error);
}
