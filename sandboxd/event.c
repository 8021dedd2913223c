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
        char id[40];
        char *topic, *sandbox, *data;
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
        uint64_t keep;
        sd_event_source *flush_source;
        Pending *pending;
        size_t n_pending, n_allocated;
        EventListener *listeners;
        unsigned n_since_trim;
};

/* How many come in before the oldest are looked at again. */
#define TRIM_INTERVAL 256U

static void pending_done(Pending *p) {
        free(p->topic);
        free(p->sandbox);
        free(p->data);
}

static int on_flush(sd_event_source *source, void *userdata) {
        (void) source;
        event_hub_flush(userdata);
        return 0;
}

int event_hub_new(sd_event *loop, Store *store, uint64_t keep, EventHub **ret) {
        _cleanup_(event_hub_freep) EventHub *h = new0(EventHub, 1);
        int r;

        if (!h)
                return -ENOMEM;
        *h = (EventHub) { .store = store, .keep = keep };
        r = sd_event_add_defer(loop, &h->flush_source, on_flush, h);
        if (r >= 0)
                r = sd_event_source_set_enabled(h->flush_source, SD_EVENT_OFF);
        /* Replies that are ready go first. */
        if (r >= 0)
                r = sd_event_source_set_priority(h->flush_source, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

EventHub *event_hub_free(EventHub *h) {
        if (h) {
                while (h->listeners)
                        event_unlisten(h->listeners);
                event_hub_flush(h);
                sd_event_source_disable_unref(h->flush_source);
                free(h->pending);
                free(h);
        }
        return NULL;
}

static int add_pending(EventHub *h, const char *topic, const char *sandbox, json_t *data, Pending **ret) {
        Pending p = { .time_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC };
        int r;

        if (h->n_pending == h->n_allocated) {
                size_t n = MAX(h->n_allocated * 2, (size_t) 16);
                Pending *larger = reallocarray(h->pending, n, sizeof(Pending));

                if (!larger)
                        return -ENOMEM;
                h->pending = larger;
                h->n_allocated = n;
        }
        r = object_id_random("evt", p.id);
        if (r < 0)
                return r;
        p.topic = strdup(topic);
        p.sandbox = strdup(sandbox ?: "");
        p.data = data ? json_dumps(data, JSON_COMPACT) : strdup("{}");
        if (!p.topic || !p.sandbox || !p.data) {
                pending_done(&p);
                return -ENOMEM;
        }
        h->pending[h->n_pending] = p;
        *ret = h->pending + h->n_pending++;
        return 0;
}

void event_hub_publish(EventHub *h, const char *topic, const char *sandbox, json_t *data, char ret_id[40]) {
        Pending *p;
        int r;

        r = add_pending(h, topic, sandbox, data, &p);
        json_decref(data);
        if (r < 0)
                log_warning_errno(r, "Failed to keep the event '%s', ignoring: %m", topic);
        if (ret_id)
                strcpy(ret_id, r < 0 ? "" : p->id);
        (void) sd_event_source_set_enabled(h->flush_source, SD_EVENT_ONESHOT);
}

void event_publish(Manager *m, const char *topic, const char *sandbox, json_t *data) {
        event_hub_publish(m->events, topic, sandbox, data, NULL);
}

/* The number of a row that could not be written stays 0: those who listen live are told all the same. */
static uint64_t keep(EventHub *h, const Pending *p) {
        StoredObject row = { .kind = EVENT_KIND, .id = p->id, .sandbox = p->sandbox, .tag = p->topic,
                             .time_msec = p->time_msec, .record = p->data };

        return store_put_object(h->store, &row) < 0 ? 0 : store_last_number(h->store);
}

static void tell(EventHub *h, const Pending *p, uint64_t number) {
        Event event = { .number = number, .id = p->id, .topic = p->topic, .sandbox = p->sandbox, .data = p->data,
                        .time_msec = p->time_msec };
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
        if (h->n_since_trim >= TRIM_INTERVAL && store_trim_objects(h->store, EVENT_KIND, h->keep) == 0)
                h->n_since_trim = 0;
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
        json_t *data = json_loads(event->data, 0, NULL) ?: json_object();

        return json_pack("{s:s, s:s, s:s, s:o, s:I}", "id", event->id, "topic", event->topic, "sandboxId",
                         event->sandbox, "data", data, "timestamp", (json_int_t) event->time_msec);
}
