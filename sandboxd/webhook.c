/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/webhook.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/webhook-internal.h"

/* The records: who wants what, and how far he is. Sending is webhook-delivery.c's. URLs are shown to those who may use
 * the API and to nobody else: many have a secret of their own in their path, so no event and no line of the log has
 * one. */

/* A place that has moved on over events that are for others is written down when we leave, if finding it anew would
 * take a while. */
#define CURSOR_STEP 256U

bool webhook_url_is_valid(const char *url) {
        const char *host = NULL;
        size_t n;

        if (strncasecmp(url, "http://", 7) == 0)
                host = url + 7;
        else if (strncasecmp(url, "https://", 8) == 0)
                host = url + 8;
        if (!host)
                return false;
        for (const char *p = url; *p; p++)
                if (*p <= 0x20 || *p >= 0x7f || strchr("\\#\"<>", *p))
                        return false;
        n = strcspn(host, "/?");
        return n > 0 && host[0] != ':' && !memchr(host, '@', n) && strlen(url) <= WEBHOOK_URL_MAX;
}

bool webhook_topic_is_valid(const char *topic) {
        const char *star = strchr(topic, '*');

        return event_topic_is_valid(topic) && (!star || !star[1]);
}

static bool topic_matches(const char *pattern, const char *topic) {
        size_t n = strlen(pattern);

        if (n > 0 && pattern[n - 1] == '*')
                return strncmp(pattern, topic, n - 1) == 0;
        return streq(pattern, topic);
}

bool webhook_wants(const Webhook *h, const char *topic, const char *sandbox) {
        if (h->sandbox && !streq(h->sandbox, sandbox))
                return false;
        if (!h->topics)
                return true;
        STRV_FOREACH(t, h->topics)
                if (topic_matches(*t, topic))
                        return true;
        return false;
}

static json_t *topics_to_json(char *const *topics) {
        json_t *list = json_array();

        if (!topics)
                (void) json_array_append_new(list, json_string("*"));
        STRV_FOREACH(t, topics)
                (void) json_array_append_new(list, json_string(*t));
        return list;
}

static void set_time(json_t *object, const char *key, uint64_t msec) {
        if (msec > 0)
                (void) json_object_set_new(object, key, json_integer((json_int_t) msec));
}

json_t *webhook_to_json(const Webhook *h) {
        json_t *object = json_pack("{s:s, s:s, s:o, s:s*, s:b, s:I, s:I, s:I, s:i, s:s*}", "id", h->id, "url", h->url,
                                   "topics", topics_to_json(h->topics), "sandboxId", h->sandbox, "enabled",
                                   (int) h->enabled, "createdAt", (json_int_t) h->created_msec, "delivered",
                                   (json_int_t) h->n_delivered, "dead", (json_int_t) h->n_dead, "attempts",
                                   (int) h->attempts, "lastError", h->last_error);

        if (object) {
                set_time(object, "lastDeliveredAt", h->delivered_msec);
                set_time(object, "nextAttemptAt", h->due_msec);
        }
        return object;
}

int webhook_save(Webhook *h) {
        _cleanup_(json_decrefp) json_t *object = webhook_to_json(h);
        _cleanup_free_ char *record = NULL;
        int r;

        if (!object || json_object_set_new(object, "secret", json_string(h->secret)) < 0 ||
            json_object_set_new(object, "cursor", json_integer((json_int_t) h->cursor)) < 0 ||
            json_object_set_new(object, "tried", json_integer((json_int_t) h->tried)) < 0)
                return -ENOMEM;
        record = json_dumps(object, JSON_COMPACT);
        if (!record)
                return -ENOMEM;
        r = store_put_object(h->owner->manager->store,
                             &(StoredObject) { .kind = WEBHOOK_KIND, .id = h->id, .sandbox = h->sandbox,
                                               .time_msec = h->created_msec, .record = record });
        if (r >= 0)
                h->saved_cursor = h->cursor;
        return r;
}

static Webhook *webhook_free(Webhook *h) {
        if (h) {
                free(h->url);
                if (h->secret)
                        explicit_bzero(h->secret, strlen(h->secret));
                free(h->secret);
                free(h->sandbox);
                strv_free(h->topics);
                free(h->last_error);
                free(h);
        }
        return NULL;
}
DEFINE_CLEANUP(Webhook *, webhook_free)

static void unqueue(Webhook *h) {
        Webhooks *w = h->owner;
        Webhook **p = &w->first, *previous = NULL;

        if (!h->queued)
                return;
        while (*p != h) {
                previous = *p;
                p = &previous->next_queued;
        }
        *p = h->next_queued;
        if (w->last == h)
                w->last = previous;
}

void webhook_drop(Webhook *h) {
        unqueue(h);
        (void) hashmap_remove(h->owner->by_id, h->id);
        webhook_free(h);
}

static int set_topics(Webhook *h, char *const *topics) {
        char **copy = NULL;

        if (strv_length(topics) > 0) {
                copy = strv_copy(topics);
                if (!copy)
                        return -ENOMEM;
        }
        strv_free(h->topics);
        h->topics = copy;
        return 0;
}

static int make_secret(char **ret) {
        char id[40];
        char *text = NULL;
        int r = 0;

        /* Random digits as all ids have them: 24 in each. */
        for (unsigned i = 0; r >= 0 && i < 3; i++) {
                char *longer = NULL;

                r = object_id_random("x", id);
                if (r >= 0 && asprintf(&longer, "%s%s", text ?: "whsec_", id + 2) < 0)
                        r = -ENOMEM;
                if (r >= 0) {
                        free(text);
                        text = longer;
                }
        }
        if (r < 0) {
                free(text);
                return r;
        }
        *ret = text;
        return 0;
}

static int fill(Webhook *h, const WebhookInit *init) {
        int r;

        r = object_id_random("whk", h->id);
        if (r >= 0 && init->secret)
                r = free_and_strdup(&h->secret, init->secret);
        else if (r >= 0)
                r = make_secret(&h->secret);
        if (r >= 0)
                r = free_and_strdup(&h->url, init->url);
        if (r >= 0)
                r = free_and_strdup(&h->sandbox, init->sandbox);
        return r < 0 ? r : set_topics(h, init->topics);
}

int webhook_add(Webhooks *w, const WebhookInit *init, Webhook **ret) {
        _cleanup_(webhook_freep) Webhook *h = new0(Webhook, 1);
        int r;

        if (!h)
                return -ENOMEM;
        if (hashmap_size(w->by_id) >= w->manager->settings.webhooks_max)
                return -E2BIG;
        *h = (Webhook) { .owner = w, .enabled = init->enabled,
                         .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC };
        /* What was published before is not for it. */
        event_hub_flush(w->manager->events);
        h->cursor = event_hub_newest(w->manager->events);
        r = fill(h, init);
        if (r >= 0)
                r = webhook_save(h);
        if (r >= 0)
                r = hashmap_put(w->by_id, h->id, h);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return webhooks_start_delivering(w);
}

Webhook *webhook_find(Webhooks *w, const char *id) {
        return hashmap_get(w->by_id, id);
}

int webhook_remove(Webhook *h) {
        Webhooks *w = h->owner;
        int r;

        r = store_begin(w->manager->store);
        if (r < 0)
                return r;
        r = store_remove_object(w->manager->store, WEBHOOK_KIND, h->id);
        if (r >= 0)
                r = store_remove_objects_of(w->manager->store, DELIVERY_KIND, h->id);
        if (store_end(w->manager->store) < 0 || r < 0)
                return r < 0 ? r : -EIO;
        webhook_drop(h);
        if (hashmap_size(w->by_id) == 0)
                webhooks_stop_delivering(w);
        webhooks_plan(w);
        return 0;
}

int webhook_change(Webhook *h, const char *url, char *const *topics, bool enabled) {
        int r = 0;

        if (url)
                r = free_and_strdup(&h->url, url);
        if (r >= 0 && topics)
                r = set_topics(h, topics);
        if (r < 0)
                return r;
        if (enabled && !h->enabled) {
                h->attempts = 0;
                h->behind = true;
        }
        h->due_msec = 0; /* whoever has mended something does not want to wait */
        h->enabled = enabled;
        r = webhook_save(h);
        webhook_queue(h);
        webhooks_plan(h->owner);
        return r;
}

bool webhook_is_enabled(const Webhook *h) {
        return h->enabled;
}

const char *webhook_id(const Webhook *h) {
        return h->id;
}

const char *webhook_sandbox(const Webhook *h) {
        return h->sandbox;
}

const char *webhook_secret(const Webhook *h) {
        return h->secret;
}

json_t *webhooks_to_json(Webhooks *w) {
        json_t *list = json_array();
        Webhook *h;

        HASHMAP_FOREACH(h, w->by_id)
                (void) json_array_append_new(list, webhook_to_json(h));
        return list;
}

void webhooks_forget_sandbox(Webhooks *w, const Sandbox *s) {
        Webhook *h;

        if (!w)
                return;
        HASHMAP_FOREACH(h, w->by_id)
                if (streq_ptr(h->sandbox, s->public_id)) {
                        h->ends = h->behind = true;
                        webhook_queue(h);
                }
}

static int read_topics(Webhook *h, const json_t *list) {
        json_t *value;
        size_t i;
        int r = 0;

        json_array_foreach(list, i, value)
                if (r >= 0 && json_is_string(value))
                        r = strv_extend(&h->topics, json_string_value(value));
        return r;
}

static int read_record(Webhook *h, json_t *object) {
        json_int_t created, cursor, tried = 0, delivered = 0, dead = 0, delivered_at = 0, due = 0, attempts = 0;
        const char *url, *secret, *sandbox = NULL, *error = NULL;
        json_t *topics;
        int enabled, r;

        if (json_unpack(object, "{s:s, s:s, s:o, s?s, s:b, s:I, s:I, s?I, s?I, s?I, s?I, s?I, s?I, s?s}", "url", &url,
                        "secret", &secret, "topics", &topics, "sandboxId", &sandbox, "enabled", &enabled, "createdAt",
                        &created, "cursor", &cursor, "tried", &tried, "delivered", &delivered, "dead", &dead,
                        "attempts", &attempts, "lastDeliveredAt", &delivered_at, "nextAttemptAt", &due, "lastError",
                        &error) < 0)
                return -EBADMSG;
        h->enabled = enabled;
        h->created_msec = (uint64_t) created;
        h->cursor = h->saved_cursor = (uint64_t) cursor;
        h->tried = (uint64_t) tried;
        h->n_delivered = (uint64_t) delivered;
        h->n_dead = (uint64_t) dead;
        h->attempts = (uint32_t) attempts;
        h->delivered_msec = (uint64_t) delivered_at;
        h->due_msec = (uint64_t) due;
        r = free_and_strdup(&h->url, url);
        if (r >= 0)
                r = free_and_strdup(&h->secret, secret);
        if (r >= 0)
                r = free_and_strdup(&h->sandbox, sandbox);
        if (r >= 0)
                r = free_and_strdup(&h->last_error, error);
        return r < 0 ? r : read_topics(h, topics);
}

static int load_webhook(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *object = json_loads(row->record, 0, NULL);
        _cleanup_(webhook_freep) Webhook *h = new0(Webhook, 1);
        Webhooks *w = userdata;
        int r;

        if (!h)
                return -ENOMEM;
        if (strlen(row->id) >= sizeof h->id)
                return -EBADMSG;
        memcpy(h->id, row->id, strlen(row->id) + 1);
        h->owner = w;
        h->behind = true; /* nobody knows what came last */
        r = read_record(h, object);
        if (r >= 0)
                r = hashmap_put(w->by_id, h->id, h);
        if (r < 0)
                return r;
        h->ends = h->sandbox && !hashmap_get(w->manager->sandboxes, h->sandbox);
        TAKE_PTR(h);
        return 0;
}

int webhooks_new(Manager *m, Webhooks **ret) {
        Webhooks *w = new0(Webhooks, 1);
        int r;

        if (!w)
                return -ENOMEM;
        w->manager = m;
        w->by_id = hashmap_new();
        r = w->by_id ? 0 : -ENOMEM;
        if (r >= 0)
                r = store_foreach_object(m->store, &(ObjectQuery) { .kind = WEBHOOK_KIND }, load_webhook, w);
        if (r >= 0 && hashmap_size(w->by_id) > 0)
                r = webhooks_start_delivering(w);
        if (r < 0) {
                webhooks_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

Webhooks *webhooks_free(Webhooks *w) {
        Webhook *h;

        if (!w)
                return NULL;
        webhooks_stop_delivering(w);
        if (w->by_id)
                HASHMAP_FOREACH(h, w->by_id) {
                        if (h->cursor > h->saved_cursor + CURSOR_STEP)
                                (void) webhook_save(h);
                        webhook_drop(h);
                }
        hashmap_free(w->by_id);
        free(w);
        return NULL;
}
