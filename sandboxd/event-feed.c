/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/event-feed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/json-text.h"

/* Frames are counted upwards by their place in the ring, and named by their number in the database; the two agree in
 * their order. The ring is only kept while there are readers. */

/* So many rows are looked at in one go for one that fits a filter which the database does not know. */
#define LOOK_AT_ONCE 256U

struct EventFeed {
        EventHub *hub;
        Store *store;
        EventListener *listener;        /* NULL: nobody reads */
        EventReader *readers;
        EventFrame *frames[EVENT_FEED_FRAMES];
        uint64_t begin, end;            /* places */
        size_t bytes;
};

struct EventReader {
        EventFeed *feed;
        EventReader *next, *previous;
        char *topic, *sandbox;
        bool starts;            /* topic is what it begins with */
        bool behind;            /* reads from the database */
        bool missed;            /* to be said: something was forgotten */
        uint64_t place;         /* of the next in the ring */
        uint64_t last;          /* number that he is past */
        void (*wake)(void *userdata);
        void *userdata;
};

EventFrame *event_frame_unref(EventFrame *f) {
        if (f && --f->n_ref == 0) {
                free(f->topic);
                free(f->sandbox);
                free(f->text);
                free(f);
        }
        return NULL;
}

/* The data are JSON already, on one line for all but those who split at whatever Unicode calls the end of one (Python's
 * splitlines(), and with it an SDK); what else may need escaping is quoted by jansson. */
static char *frame_text(const Event *event, size_t *ret_n_id, size_t *ret_n) {
        _cleanup_(json_decrefp) json_t *topic = json_string(event->topic), *sandbox = json_string(event->sandbox);
        _cleanup_free_ char *t = topic ? json_dumps(topic, JSON_ENCODE_ANY) : NULL;
        _cleanup_free_ char *s = sandbox ? json_dumps(sandbox, JSON_ENCODE_ANY) : NULL;
        char *text;
        int n;

        if (!t || !s)
                return NULL;
        n = asprintf(&text, "id: %" PRIu64 "\ndata: {\"id\":\"%s\",\"topic\":%s,\"sandboxId\":%s,\"data\":%s,"
                            "\"timestamp\":%" PRIu64 "}\n\n",
                     event->number, event->id, t, s, event->data, event->time_msec);
        if (n < 0)
                return NULL;
        text = json_escape_ends(text);
        /* Not by %n: for that glibc reads the table of our mappings, each time. */
        *ret_n_id = text ? strcspn(text, "\n") + 1 : 0;
        *ret_n = text ? strlen(text) : 0;
        return text;
}

static EventFrame *frame_new(const Event *event) {
        _cleanup_(event_frame_unrefp) EventFrame *f = new0(EventFrame, 1);

        if (!f)
                return NULL;
        *f = (EventFrame) { .n_ref = 1, .number = event->number, .topic = strdup(event->topic),
                            .sandbox = strdup(event->sandbox) };
        f->text = frame_text(event, &f->n_id, &f->n);
        return f->topic && f->sandbox && f->text ? TAKE_PTR(f) : NULL;
}

static void drop_oldest(EventFeed *f) {
        EventFrame **slot = f->frames + f->begin++ % EVENT_FEED_FRAMES;

        f->bytes -= (*slot)->n;
        *slot = event_frame_unref(*slot);
}

static void on_event(const Event *event, void *userdata) {
        EventFeed *f = userdata;
        EventFrame *frame = frame_new(event);

        if (!frame)
                return;
        while (f->end > f->begin &&
               (f->end - f->begin == EVENT_FEED_FRAMES || f->bytes + frame->n > EVENT_FEED_BYTES))
                drop_oldest(f);
        f->frames[f->end++ % EVENT_FEED_FRAMES] = frame;
        f->bytes += frame->n;
        for (EventReader *r = f->readers; r; r = r->next)
                r->wake(r->userdata);
}

int event_feed_new(EventHub *hub, Store *store, EventFeed **ret) {
        EventFeed *f = new0(EventFeed, 1);

        if (!f)
                return -ENOMEM;
        f->hub = hub;
        f->store = store;
        *ret = f;
        return 0;
}

static void stop(EventFeed *f) {
        while (f->end > f->begin)
                drop_oldest(f);
        f->listener = event_unlisten(f->listener);
}

EventFeed *event_feed_free(EventFeed *f) {
        if (f) {
                assert(!f->readers);
                stop(f);
                free(f);
        }
        return NULL;
}

static bool is_kept(EventFeed *f, uint64_t number);

/* From the database on, until the ring is reached. */
static void fall_behind(EventReader *r) {
        uint64_t oldest = event_hub_oldest(r->feed->hub);

        r->behind = true;
        r->missed |= r->last > 0 && oldest > r->last && !is_kept(r->feed, r->last);
}

static int set_filter(EventReader *r, const EventFilter *filter) {
        size_t n = filter->topic ? strlen(filter->topic) : 0;

        if (filter->topic) {
                r->topic = strdup(filter->topic);
                if (!r->topic)
                        return -ENOMEM;
                r->starts = n > 0 && filter->topic[n - 1] == '*';
                if (r->starts)
                        r->topic[n - 1] = 0;
        }
        if (filter->sandbox)
                r->sandbox = strdup(filter->sandbox);
        return filter->sandbox && !r->sandbox ? -ENOMEM : 0;
}

int event_reader_new(EventFeed *f, const EventReaderOptions *options, EventReader **ret) {
        _cleanup_(event_reader_freep) EventReader *r = new0(EventReader, 1);
        int k;

        if (!r)
                return -ENOMEM;
        r->wake = options->wake;
        r->userdata = options->userdata;
        k = set_filter(r, &options->filter);
        if (k >= 0 && !f->listener)
                k = event_listen(f->hub, on_event, f, &f->listener);
        if (k < 0)
                return k;
        r->feed = f;
        r->next = f->readers;
        if (r->next)
                r->next->previous = r;
        f->readers = r;

        /* What was published before is not from now on. */
        event_hub_flush(f->hub);
        r->place = f->end;
        r->last = event_hub_newest(f->hub);
        if (options->resume && options->after < r->last) {
                r->last = options->after;
                fall_behind(r);
        }
        *ret = TAKE_PTR(r);
        return 0;
}

EventReader *event_reader_free(EventReader *r) {
        EventFeed *f = r ? r->feed : NULL;

        if (f) {
                if (r->next)
                        r->next->previous = r->previous;
                if (r->previous)
                        r->previous->next = r->next;
                else
                        f->readers = r->next;
                if (!f->readers)
                        stop(f);
        }
        if (r) {
                free(r->topic);
                free(r->sandbox);
                free(r);
        }
        return NULL;
}

static bool matches(const EventReader *r, const char *topic, const char *sandbox) {
        if (r->sandbox && !streq(r->sandbox, sandbox))
                return false;
        return !r->topic || (r->starts ? !!startswith(topic, r->topic) : streq(topic, r->topic));
}

static int on_any(const StoredObject *row, void *userdata) {
        (void) row;
        *(bool *) userdata = true;
        return 0;
}

static bool is_kept(EventFeed *f, uint64_t number) {
        bool found = false;

        (void) store_foreach_object(f->store, &(ObjectQuery) { .kind = EVENT_KIND, .after = number - 1,
                                                               .before = number + 1, .limit = 1 }, on_any, &found);
        return found;
}

typedef struct Look {
        EventReader *reader;
        EventFrame *frame;
        unsigned n;
} Look;

static int on_row(const StoredObject *row, void *userdata) {
        Look *look = userdata;
        Event event = event_from_row(row);

        look->n++;
        look->reader->last = row->number;
        if (!matches(look->reader, event.topic, event.sandbox))
                return 0;
        look->frame = frame_new(&event);
        return look->frame ? -ECANCELED : -ENOMEM;
}

/* The next that the database has. The walk ends at the first one that fits. */
static int look_up(EventReader *r, EventFrame **ret) {
        ObjectQuery query = { .kind = EVENT_KIND, .after = r->last, .limit = LOOK_AT_ONCE, .sandbox = r->sandbox };
        Look look = { .reader = r };
        int k;

        if (r->topic && !r->starts)
                query.tag = r->topic;
        k = store_foreach_object(r->feed->store, &query, on_row, &look);
        if (look.frame) {
                *ret = look.frame;
                return 1;
        }
        if (k < 0)
                return k;
        return look.n == LOOK_AT_ONCE ? -EAGAIN : 0;
}

/* He has read all that is in the database, and so all of the ring. */
static void catch_up(EventReader *r) {
        r->behind = false;
        r->place = r->feed->end;
}

static EventFrame *take_from_ring(EventReader *r) {
        EventFeed *f = r->feed;

        while (r->place < f->end) {
                EventFrame *frame = f->frames[r->place++ % EVENT_FEED_FRAMES];

                r->last = MAX(r->last, frame->number);
                if (matches(r, frame->topic, frame->sandbox)) {
                        frame->n_ref++;
                        return frame;
                }
        }
        return NULL;
}

int event_reader_next(EventReader *r, EventFrame **ret) {
        int k;

        if (!r->behind && r->place < r->feed->begin)
                fall_behind(r);
        if (r->missed) {
                r->missed = false;
                return -ERANGE;
        }
        if (r->behind) {
                k = look_up(r, ret);
                if (k != 0)
                        return k;
                catch_up(r);
        }
        *ret = take_from_ring(r);
        return !!*ret;
}
