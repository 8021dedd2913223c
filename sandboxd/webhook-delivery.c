/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/queue-policy.h"
#include "sandboxd/waker.h"
#include "sandboxd/webhook-internal.h"

/* An event is not copied for those who want it: it stands in the store once, and each webhook has a number up to which
 * it is done. So a receiver that does not answer holds nothing but its own number back, and memory is the same whether
 * he is one event behind or all that are kept.
 *
 * What is done is written down when it is done, the place and what became of the event in one transaction. Killed
 * before that we send again, under the same id. */

/* So many events are looked at in one go for one that is wanted, so many webhooks in one turn of the loop: requests
 * that have come go before. */
#define LOOK_AT_ONCE 256U
#define LOOKS_A_TURN 8U
#define TRIM_INTERVAL 64U

#define TIMEOUT_MAX_SEC 60U
#define ERROR_MAX 256

/* Behind what is written of events in the same turn. */
#define PRIORITY_LOOK (SD_EVENT_PRIORITY_NORMAL + 11)

typedef enum DeliveryState {
        DELIVERY_PENDING,
        DELIVERY_DELIVERED,
        DELIVERY_DEAD,
        _DELIVERY_STATE_MAX,
} DeliveryState;

static const char *const state_names[_DELIVERY_STATE_MAX] = {
        [DELIVERY_PENDING] = "pending",
        [DELIVERY_DELIVERED] = "delivered",
        [DELIVERY_DEAD] = "dead",
};

/* A request that is under way. Its webhook may be gone when the answer comes. */
typedef struct Sending {
        Webhooks *owner;
        char webhook[40];
        Delivery delivery;
        WebhookTested tested;   /* of a test only */
        void *userdata;
} Sending;

static uint64_t now_msec(void) {
        return now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
}

static Sending *sending_free(Sending *s) {
        if (s) {
                free(s->delivery.topic);
                free(s);
        }
        return NULL;
}
DEFINE_CLEANUP(Sending *, sending_free)

static Sending *sending_new(const Webhook *h, const Event *event) {
        _cleanup_(sending_freep) Sending *s = new0(Sending, 1);

        if (!s)
                return NULL;
        s->owner = h->owner;
        memcpy(s->webhook, h->id, sizeof s->webhook);
        s->delivery.number = event->number;
        s->delivery.started_msec = now_msec();
        (void) snprintf(s->delivery.event, sizeof s->delivery.event, "%s", event->id);
        s->delivery.topic = strdup(event->topic);
        if (!s->delivery.topic || webhook_delivery_id(h->id, event->id, s->delivery.id) < 0)
                return NULL;
        return TAKE_PTR(s);
}

/* --- the line */

void webhook_queue(Webhook *h) {
        Webhooks *w = h->owner;

        if (!w->look)
                return;
        if (!h->queued) {
                h->queued = true;
                h->next_queued = NULL;
                if (w->last)
                        w->last->next_queued = h;
                else
                        w->first = h;
                w->last = h;
        }
        if (w->started)
                (void) sd_event_source_set_enabled(w->look, SD_EVENT_ONESHOT);
}

static Webhook *take_first(Webhooks *w) {
        Webhook *h = w->first;

        if (h) {
                w->first = h->next_queued;
                if (!w->first)
                        w->last = NULL;
                h->queued = false;
        }
        return h;
}

/* One that has nothing to wait for sends at once; one that has stays where it is until then. */
static bool is_busy(const Webhook *h) {
        return h->under_way || h->queued;
}

static bool waits(const Webhook *h) {
        return h->enabled && h->behind && !is_busy(h) && h->due_msec > 0;
}

/* Never longer than the longest pause: somebody may have set the clock. */
static uint64_t left_msec(const Webhook *h) {
        uint64_t now = now_msec(), most = h->owner->manager->settings.webhook_backoff_max_sec * UINT64_C(1000);

        if (h->due_msec <= now)
                return 0;
        return MIN(h->due_msec - now, MAX(most, UINT64_C(1000)));
}

static void hold(Webhooks *w, bool busy) {
        Manager *m = w->manager;

        if (busy == w->held)
                return;
        w->held = busy;
        if (busy)
                service_hold(m->service);
        else
                service_release(m->service);
}

/* While something is under way we stay, and are started again should we die; in a pause we may leave, and are started
 * at its end. */
void webhooks_plan(Webhooks *w) {
        uint64_t least = UINT64_MAX, due_usec = USEC_INFINITY;
        Manager *m = w->manager;
        bool busy = false;
        Webhook *h;

        if (m->stopping || !w->started)
                return;
        HASHMAP_FOREACH(h, w->by_id) {
                busy |= is_busy(h);
                if (waits(h))
                        least = MIN(least, left_msec(h));
        }
        if (least != UINT64_MAX)
                due_usec = now_usec(CLOCK_BOOTTIME) + least * USEC_PER_MSEC;
        hold(w, busy);
        if (busy)
                waker_keep(m->waker, WAKE_WEBHOOKS);
        else
                waker_set(m->waker, WAKE_WEBHOOKS, due_usec);
        if (!w->timer)
                return;
        if (due_usec != USEC_INFINITY)
                (void) sd_event_source_set_time(w->timer, due_usec);
        (void) sd_event_source_set_enabled(w->timer, due_usec != USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* --- what became of it */

static void save_delivery(const Webhook *h, const Delivery *d, DeliveryState state, unsigned attempts,
                          unsigned status) {
        _cleanup_free_ char *record = NULL;
        uint64_t now = now_msec();
        _cleanup_(json_decrefp) json_t *object =
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:s*}", "id", d->id, "webhookId", h->id, "eventId",
                          d->event, "topic", d->topic, "status", state_names[state], "attempts", (int) attempts,
                          "timestamp", (json_int_t) now, "duration",
                          (json_int_t) (now - MIN(now, d->started_msec)), "error", h->last_error);

        if (object && status > 0)
                (void) json_object_set_new(object, "httpStatus", json_integer(status));
        record = object ? json_dumps(object, JSON_COMPACT) : NULL;
        if (!record || store_put_object(h->owner->manager->store,
                                        &(StoredObject) { .kind = DELIVERY_KIND, .id = d->id, .sandbox = h->id,
                                                          .tag = state_names[state], .time_msec = now,
                                                          .record = record }) < 0)
                log_warning("Failed to keep what became of delivery %s, ignoring.", d->id);
}

static void tell_dead(const Webhook *h, const Delivery *d) {
        /* One that tells of itself would tell for ever. */
        if (!streq(d->topic, WEBHOOK_FAILED))
                event_publish(h->owner->manager, WEBHOOK_FAILED, h->sandbox,
                              json_pack("{s:s, s:s, s:s, s:s*}", "id", h->id, "deliveryId", d->id, "eventId", d->event,
                                        "error", h->last_error));
}

static uint64_t pause_msec(const Webhook *h) {
        const Settings *s = &h->owner->manager->settings;
        uint32_t lot = 0;

        if (getrandom(&lot, sizeof lot, GRND_NONBLOCK) < 0)
                lot = 0;
        return queue_backoff_usec(h->attempts, s->webhook_backoff_sec * USEC_PER_SEC,
                                  s->webhook_backoff_max_sec * USEC_PER_SEC, lot) / USEC_PER_MSEC;
}

/* The event is done with, this way or that. */
static void pass(Webhook *h, const Delivery *d) {
        h->cursor = MAX(h->cursor, d->number);
        h->attempts = 0;
        h->due_msec = 0;
}

static DeliveryState settle(Webhook *h, const Delivery *d, unsigned status) {
        if (status >= 200 && status < 300) {
                h->n_delivered++;
                h->delivered_msec = now_msec();
                h->last_error = mfree(h->last_error);
                pass(h, d);
                return DELIVERY_DELIVERED;
        }
        if (h->attempts >= MAX(h->owner->manager->settings.webhook_attempts, 1U)) {
                h->n_dead++;
                pass(h, d);
                return DELIVERY_DEAD;
        }
        h->due_msec = now_msec() + MAX(pause_msec(h), UINT64_C(1));
        return DELIVERY_PENDING;
}

static void trim(Webhooks *w) {
        if (++w->n_since_trim >= TRIM_INTERVAL &&
            store_trim_objects(w->manager->store, DELIVERY_KIND, DELIVERIES_MAX) == 0)
                w->n_since_trim = 0;
}

static void note_result(Webhook *h, const Delivery *d, unsigned status, const char *error) {
        Store *store = h->owner->manager->store;
        unsigned attempts = ++h->attempts;
        DeliveryState state;
        char text[ERROR_MAX];

        if (status > 0)
                (void) snprintf(text, sizeof text, "The receiver answered %u", status);
        else
                (void) snprintf(text, sizeof text, "%.250s", error);
        (void) free_and_strdup(&h->last_error, text);
        state = settle(h, d, status);
        (void) store_begin(store);
        save_delivery(h, d, state, attempts, status);
        (void) webhook_save(h);
        (void) store_end(store);
        log_debug("Delivery %s of webhook %s: %s after %u attempts.", d->id, h->id, state_names[state], attempts);
        if (state == DELIVERY_DEAD)
                tell_dead(h, d);
        trim(h->owner);
}

static int read_answer(sd_bus_message *reply, const sd_bus_error *error, unsigned *ret_status, const char **ret_error) {
        uint32_t status = 0;
        int r;

        *ret_status = 0;
        *ret_error = "";
        if (!reply) {
                *ret_error = error->message ?: "The sender failed";
                return 0;
        }
        r = sd_bus_message_read(reply, "us", &status, ret_error);
        *ret_status = status;
        return r;
}

static void on_answer(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(sending_freep) Sending *s = userdata;
        Webhooks *w = s->owner;
        const char *text;
        unsigned status;
        Webhook *h;

        /* We go, not the receiver: the next start sends it again. */
        if (w->manager->stopping)
                return;
        h = hashmap_get(w->by_id, s->webhook);
        if (!h)
                return;
        h->under_way = false;
        if (read_answer(reply, error, &status, &text) < 0)
                text = "The sender failed";
        note_result(h, &s->delivery, status, text);
        if (h->due_msec == 0)
                webhook_queue(h);
        webhooks_plan(w);
}

/* --- sending */

static int post(Webhook *h, const Event *event, unsigned attempt, PeerCallback callback, Sending *s) {
        _cleanup_(webhook_request_done) WebhookRequest request = {};
        Manager *m = h->owner->manager;
        uint32_t timeout = CLAMP(m->settings.webhook_timeout_sec, 1U, TIMEOUT_MAX_SEC);
        int r;

        r = webhook_request_make(h, event, s->delivery.id, attempt, now_usec(CLOCK_REALTIME) / USEC_PER_SEC, &request);
        if (r < 0)
                return r;
        return hook_post(m->hook, &(HookPost) { .url = h->url, .headers = request.headers, .body = request.body,
                                                .timeout_usec = timeout * USEC_PER_SEC }, callback, s);
}

/* The sender not being there is no failure of the receiver's, and none of the attempts. */
static void put_off(Webhook *h, int error) {
        log_warning_errno(error, "Failed to reach the sender of webhooks, trying again: %m");
        h->due_msec = now_msec() + MAX(h->owner->manager->settings.webhook_backoff_sec, 1U) * 1000;
}

static void send_event(Webhook *h, const Event *event) {
        _cleanup_(sending_freep) Sending *s = sending_new(h, event);
        int r;

        if (h->tried != event->number) {
                h->tried = event->number;
                h->attempts = 0;
        }
        r = s ? post(h, event, h->attempts + 1, on_answer, s) : -ENOMEM;
        if (r < 0) {
                put_off(h, r);
                return;
        }
        h->due_msec = 0;
        h->under_way = true;
        TAKE_PTR(s);
}

typedef struct Look {
        Webhook *hook;
        unsigned n;
        bool sent;
} Look;

/* Sending writes nothing yet, so it may be done from within the walk. */
static int on_row(const StoredObject *row, void *userdata) {
        Look *look = userdata;
        Event event = event_from_row(row);

        look->n++;
        if (webhook_wants(look->hook, event.topic, event.sandbox)) {
                look->sent = true;
                send_event(look->hook, &event);
                return -ECANCELED;
        }
        look->hook->cursor = row->number;
        return 0;
}

static void look_for_next(Webhook *h) {
        ObjectQuery query = { .kind = EVENT_KIND, .after = h->cursor, .limit = LOOK_AT_ONCE, .sandbox = h->sandbox };
        Look look = { .hook = h };
        int r;

        if (h->topics && !h->topics[1] && !strchr(h->topics[0], '*'))
                query.tag = h->topics[0];
        r = store_foreach_object(h->owner->manager->store, &query, on_row, &look);
        if (look.sent)
                return;
        if (r < 0)
                put_off(h, r);
        else if (look.n == LOOK_AT_ONCE)
                webhook_queue(h);
        else {
                h->behind = false;
                h->attempts = 0; /* the event that they were of may be forgotten by now */
                h->due_msec = 0;
        }
}

static void look_at(Webhook *h) {
        if (h->under_way)
                return;
        if (h->enabled && h->behind && left_msec(h) == 0)
                look_for_next(h);
        if (h->ends && !h->under_way && (!h->behind || !h->enabled))
                (void) webhook_remove(h);
}

static int on_look(sd_event_source *source, void *userdata) {
        Webhooks *w = userdata;
        Webhook *h;

        event_hub_flush(w->manager->events); /* the end of a sandbox is to be told before its webhooks go */
        for (unsigned i = 0; i < LOOKS_A_TURN && (h = take_first(w)); i++)
                look_at(h);
        if (!w->look)
                return 0;
        webhooks_plan(w);
        return sd_event_source_set_enabled(source, w->first ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
        Webhooks *w = userdata;
        Webhook *h;

        (void) source;
        (void) usec;
        HASHMAP_FOREACH(h, w->by_id)
                if (waits(h) && left_msec(h) == 0)
                        webhook_queue(h);
        webhooks_plan(w);
        return 0;
}

/* One that is up to date moves on with what is not for it, so that nobody has to look for that later. */
static void on_event(const Event *event, void *userdata) {
        Webhooks *w = userdata;
        bool any = false;
        Webhook *h;

        if (event->number == 0)
                return;
        HASHMAP_FOREACH(h, w->by_id) {
                if (h->behind || !h->enabled)
                        continue;
                if (webhook_wants(h, event->topic, event->sandbox)) {
                        h->behind = any = true;
                        webhook_queue(h);
                } else
                        h->cursor = event->number;
        }
        if (any)
                webhooks_plan(w);
}

/* --- begin and end */

int webhooks_start_delivering(Webhooks *w) {
        Manager *m = w->manager;
        int r;

        if (w->listener)
                return 0;
        r = sd_event_add_defer(m->event, &w->look, on_look, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->look, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(w->look, PRIORITY_LOOK);
        if (r >= 0)
                r = sd_event_add_time(m->event, &w->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_due, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        return r < 0 ? r : event_listen(m->events, on_event, w, &w->listener);
}

void webhooks_stop_delivering(Webhooks *w) {
        w->listener = event_unlisten(w->listener);
        w->look = sd_event_source_disable_unref(w->look);
        w->timer = sd_event_source_disable_unref(w->timer);
        hold(w, false);
}

void webhooks_start(Webhooks *w) {
        Webhook *h;

        w->started = true;
        HASHMAP_FOREACH(h, w->by_id)
                webhook_queue(h);
        webhooks_plan(w);
}

/* --- a test */

static void on_tested(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(sending_freep) Sending *s = userdata;
        const char *text = "";
        unsigned status = 0;

        if (reply && read_answer(reply, error, &status, &text) < 0)
                text = "The sender failed";
        s->tested(status, text, reply ? NULL : error, s->userdata);
}

int webhook_test(Webhook *h, WebhookTested callback, void *userdata) {
        _cleanup_free_ char *data = NULL;
        _cleanup_(sending_freep) Sending *s = NULL;
        char id[40];
        Event event = { .id = id, .topic = "webhook.test", .sandbox = h->sandbox ?: "", .time_msec = now_msec() };
        int r;

        r = object_id_random("evt", id);
        if (r < 0)
                return r;
        if (asprintf(&data, "{\"webhookId\":\"%s\"}", h->id) < 0) {
                data = NULL;
                return -ENOMEM;
        }
        event.data = data;
        s = sending_new(h, &event);
        if (!s)
                return -ENOMEM;
        s->tested = callback;
        s->userdata = userdata;
        r = post(h, &event, 1, on_tested, s);
        if (r < 0)
                return r;
        TAKE_PTR(s);
        return 0;
}
