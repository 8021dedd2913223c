/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/event.h"

#include <errno.h>
#include <time.h>

#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/manager.h"

/* The ones of a turn go into the database in one transaction. A daemon that is killed before that loses what it has
 * told nobody yet. */

typedef struct Pending {
        char id[40];            /* "": not needed before it is written */
        char *topic, *sandbox, *data;
        json_t *value;          /* becomes data when it is written: the publisher has no time for it */
        uint64_t time_msec;
} Pending;

struct EventListener {
        EventHub *hub;
        EventListener *next, *previous;
        EventCallback callback;
        void *userdata;
};

struct EventHub {
        Store *store;
        uint64_t keep, age_sec;
        sd_event_source *flush_source, *trim_source;
        Pending *pending;
        size_t n_pending, n_allocated;
        EventListener *listeners;
        unsigned n_since_trim;
        bool was_cut;
};

/* A number of the store: 0 after an orderly end. */
#define EVENTS_OPEN "events_open"

/* How many come in before the oldest are looked at again, and how many of these go at a time: each costs as much as a
 * new one, and somebody may be waiting. */
#define TRIM_INTERVAL 256U
#define TRIM_AT_ONCE 32U

/* Under a load that never ends the loop finds no quiet moment: so many are written in any case. */
#define PENDING_MAX 1024U

#define PRIORITY_QUIET (SD_EVENT_PRIORITY_NORMAL + 10)

static void pending_done(Pending *p) {
        json_decref(p->value);
        free(p->topic);
        free(p->sandbox);
        free(p->data);
}

static int on_flush(sd_event_source *source, void *userdata) {
        (void) sd_event_source_set_priority(source, PRIORITY_QUIET);
        event_hub_flush(userdata);
        return 0;
}

/* The oldest that are too many or too old, a few: the number of them. */
static int trim(EventHub *h) {
        uint64_t now = now_usec(CLOCK_REALTIME) / USEC_PER_SEC;
        int n;

        n = store_trim_objects_max(h->store, EVENT_KIND, h->keep, TRIM_AT_ONCE);
        if (n == 0 && h->age_sec > 0 && now > h->age_sec)
                n = store_expire_objects(h->store, EVENT_KIND, (now - h->age_sec) * 1000, TRIM_AT_ONCE);
        return n;
}

static int on_trim(sd_event_source *source, void *userdata) {
        EventHub *h = userdata;

        if (trim(h) > 0)
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        h->n_since_trim = 0;
        return 0;
}

void event_hub_set_keep(EventHub *h, uint64_t keep, uint64_t age_sec) {
        h->keep = keep;
        h->age_sec = age_sec;
        (void) sd_event_source_set_enabled(h->trim_source, SD_EVENT_ONESHOT);
}

static int add_defer(EventHub *h, sd_event *loop, sd_event_handler_t handler, int64_t priority, sd_event_source **ret) {
        int r;

        r = sd_event_add_defer(loop, ret, handler, h);
        if (r >= 0)
                r = sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
        return r < 0 ? r : sd_event_source_set_priority(*ret, priority);
}

static int note_start(EventHub *h) {
        uint64_t open;
        int r;

        r = store_get_number(h->store, EVENTS_OPEN, &open);
        if (r < 0)
                return r;
        h->was_cut = open > 0;
        return h->was_cut ? 0 : store_set_number(h->store, EVENTS_OPEN, 1);
}

int event_hub_new(sd_event *loop, Store *store, uint64_t keep, uint64_t age_sec, EventHub **ret) {
        _cleanup_(event_hub_freep) EventHub *h = new0(EventHub, 1);
        int r;

        if (!h)
                return -ENOMEM;
        /* Daemons come and go: each looks once, and then now and again. */
        *h = (EventHub) { .store = store, .keep = keep, .age_sec = age_sec, .n_since_trim = TRIM_INTERVAL };
        /* Replies that are ready go first, requests that have come go before the cleaning up. */
        r = add_defer(h, loop, on_flush, PRIORITY_QUIET, &h->flush_source);
        if (r >= 0)
                r = add_defer(h, loop, on_trim, SD_EVENT_PRIORITY_IDLE, &h->trim_source);
        if (r >= 0)
                r = note_start(h);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

bool event_hub_was_cut(const EventHub *h) {
        return h->was_cut;
}

EventHub *event_hub_free(EventHub *h) {
        if (h) {
                while (h->listeners)
                        event_unlisten(h->listeners);
                event_hub_flush(h);
                (void) store_set_number(h->store, EVENTS_OPEN, 0);
                sd_event_source_disable_unref(h->flush_source);
                sd_event_source_disable_unref(h->trim_source);
                free(h->pending);
                free(h);
        }
        return NULL;
}

static int add_pending(EventHub *h, const char *topic, const char *sandbox, json_t *data, Pending **ret) {
        Pending p = { .time_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC };

        if (h->n_pending == h->n_allocated) {
                size_t n = MAX(h->n_allocated * 2, (size_t) 16);
                Pending *larger = reallocarray(h->pending, n, sizeof(Pending));

                if (!larger)
                        return -ENOMEM;
                h->pending = larger;
                h->n_allocated = n;
        }
        p.topic = strdup(topic);
        p.sandbox = strdup(sandbox ?: "");
        if (!p.topic || !p.sandbox) {
                pending_done(&p);
                return -ENOMEM;
        }
        p.value = json_incref(data);
        h->pending[h->n_pending] = p;
        *ret = h->pending + h->n_pending++;
        return 0;
}

void event_hub_publish(EventHub *h, const char *topic, const char *sandbox, json_t *data, EventStamp *ret) {
        EventStamp stamp = {};
        Pending *p;
        int r;

        r = add_pending(h, topic, sandbox, data, &p);
        json_decref(data);
        if (r >= 0 && ret)
                r = object_id_random("evt", p->id);
        if (r < 0)
                log_warning_errno(r, "Failed to keep the event '%s', ignoring: %m", topic);
        else {
                strcpy(stamp.id, p->id);
                stamp.time_msec = p->time_msec;
        }
        if (ret)
                *ret = stamp;
        if (h->n_pending == PENDING_MAX)
                (void) sd_event_source_set_priority(h->flush_source, SD_EVENT_PRIORITY_IMPORTANT);
        (void) sd_event_source_set_enabled(h->flush_source, SD_EVENT_ONESHOT);
}

void event_publish(Manager *m, const char *topic, const char *sandbox, json_t *data) {
        event_hub_publish(m->events, topic, sandbox, data, NULL);
}

/* The number of a row that could not be written stays 0: those who listen live are told all the same. */
static uint64_t keep(EventHub *h, Pending *p) {
        p->data = p->value ? json_dumps(p->value, JSON_COMPACT) : NULL;
        if (!p->data)
                p->data = strdup("{}");
        if (!p->data || (isempty(p->id) && object_id_random("evt", p->id) < 0))
                return 0;
        return store_put_object(h->store, &(StoredObject) {
                        .kind = EVENT_KIND, .id = p->id, .sandbox = p->sandbox, .tag = p->topic,
                        .time_msec = p->time_msec, .record = p->data }) < 0 ? 0 : store_last_number(h->store);
}

static void tell(EventHub *h, const Pending *p, uint64_t number) {
        Event event = { .number = number, .id = p->id, .topic = p->topic, .sandbox = p->sandbox,
                        .data = p->data ?: "{}", .time_msec = p->time_msec };
        EventListener *next;

        for (EventListener *l = h->listeners; l; l = next) {
                next = l->next;
                l->callback(&event, l->userdata);
        }
}

/* A listener may publish: what comes in meanwhile is left for the next turn. */
void event_hub_flush(EventHub *h) {
        Pending *pending = TAKE_PTR(h->pending);
        _cleanup_free_ uint64_t *numbers = NULL;
        size_t n = h->n_pending;
        bool together;

        if (n == 0)
                return;
        h->n_pending = h->n_allocated = 0;
        numbers = new0(uint64_t, MAX(n, (size_t) 1));
        together = n > 1 && store_begin(h->store) >= 0;
        for (size_t i = 0; i < n; i++) {
                uint64_t number = keep(h, pending + i);

                if (numbers)
                        numbers[i] = number;
        }
        if (together)
                (void) store_end(h->store);
        h->n_since_trim += (unsigned) n;
        if (h->n_since_trim >= TRIM_INTERVAL)
                (void) sd_event_source_set_enabled(h->trim_source, SD_EVENT_ONESHOT);
        for (size_t i = 0; i < n; i++) {
                tell(h, pending + i, numbers ? numbers[i] : 0);
                pending_done(pending + i);
        }
        free(pending);
}

int event_listen(EventHub *h, EventCallback callback, void *userdata, EventListener **ret) {
        EventListener *l = new0(EventListener, 1);

        if (!l)
                return -ENOMEM;
        *l = (EventListener) { .hub = h, .next = h->listeners, .callback = callback, .userdata = userdata };
        if (l->next)
                l->next->previous = l;
        h->listeners = l;
        *ret = l;
        return 0;
}

EventListener *event_unlisten(EventListener *l) {
        if (l) {
                if (l->next)
                        l->next->previous = l->previous;
                if (l->previous)
                        l->previous->next = l->next;
                else
                        l->hub->listeners = l->next;
                free(l);
        }
        return NULL;
}

Event event_from_row(const StoredObject *row) {
        return (Event) { .number = row->number, .id = row->id, .topic = row->tag, .sandbox = row->sandbox,
                         .data = row->record, .time_msec = row->time_msec };
}

json_t *event_to_json(const Event *event) {
        json_t *data = json_loads(event->data, 0, NULL);

        data = data ?: json_object();
        return json_pack("{s:s, s:s, s:s, s:o, s:I}", "id", event->id, "topic", event->topic, "sandboxId",
                         event->sandbox, "data", data, "timestamp", (json_int_t) event->time_msec);
}

/* What is compared is always a number, by which all indexes are sorted: a page stays as cheap as it is, however many
 * events lie around it. Numbers and times grow together. */
static int find_first(const StoredObject *row, void *userdata) {
        *(StoredObject *) userdata = (StoredObject) { .number = row->number, .time_msec = row->time_msec };
        return 0;
}

static StoredObject event_at(EventHub *h, uint64_t after, bool newest) {
        StoredObject found = {};

        (void) store_foreach_object(h->store, &(ObjectQuery) { .kind = EVENT_KIND, .after = after,
                                                               .newest_first = newest, .limit = 1 },
                                    find_first, &found);
        return found;
}

uint64_t event_hub_oldest(EventHub *h) {
        return event_at(h, 0, /* newest= */ false).number;
}

uint64_t event_hub_newest(EventHub *h) {
        return event_at(h, 0, /* newest= */ true).number;
}

uint64_t event_hub_number_at(EventHub *h, uint64_t msec) {
        uint64_t low = event_hub_oldest(h), high = event_hub_newest(h) + 1;

        while (low < high) {
                uint64_t middle = low + (high - low) / 2;
                StoredObject row = event_at(h, middle > 0 ? middle - 1 : 0, /* newest= */ false);

                if (row.number == 0 || row.time_msec >= msec)
                        high = middle;
                else
                        low = row.number + 1;
        }
        return high;
}

bool event_topic_is_valid(const char *topic) {
        size_t n = strlen(topic);

        for (size_t i = 0; i < n; i++)
                if (topic[i] < 0x21 || topic[i] > 0x7e)
                        return false;
        return n > 0 && n <= EVENT_TOPIC_MAX;
}
