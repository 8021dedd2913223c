/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/hook-client.h"
#include "sandboxd/manager.h"
#include "sandboxd/webhook.h"

/* What webhook.c, webhook-delivery.c and webhook-request.c share. */

struct Webhook {
        char id[40];
        Webhooks *owner;
        char *url, *secret, *sandbox; /* sandbox NULL: all */
        char **topics;          /* NULL: all */
        bool enabled;
        uint64_t created_msec, delivered_msec;
        uint64_t n_delivered, n_dead;

        uint64_t cursor;        /* number of the last event that is done with */
        uint64_t saved_cursor;  /* as the store has it */
        uint64_t tried;         /* number of the event that the attempts are of */
        uint32_t attempts;
        uint64_t due_msec;      /* CLOCK_REALTIME, for it is kept: the next attempt; 0: now */
        char *last_error;       /* of the last attempt; NULL: it succeeded */

        bool behind;            /* there may be events above the cursor that are for it */
        bool under_way;         /* one of them is being sent */
        bool queued;            /* in the line of those that want to be looked at */
        bool ends;              /* its sandbox is gone */
        Webhook *next_queued;
};

struct Webhooks {
        Manager *manager;
        Hashmap *by_id;
        EventListener *listener;        /* NULL: there is no webhook */
        sd_event_source *look, *timer;
        Webhook *first, *last;          /* the line */
        unsigned n_since_trim;
        bool started, held;
};

/* A row of kind DELIVERY_KIND. */
typedef struct Delivery {
        char id[40], event[40];
        char *topic;
        uint64_t number;        /* of the event */
        uint64_t started_msec;
} Delivery;

int webhook_save(Webhook *h);
bool webhook_wants(const Webhook *h, const char *topic, const char *sandbox);
/* Out of the line, the map and memory; the records stay. */
void webhook_drop(Webhook *h);

/* webhook-delivery.c: looks at it soon. */
void webhook_queue(Webhook *h);
/* When to look, what to be awake for. */
void webhooks_plan(Webhooks *w);
int webhooks_start_delivering(Webhooks *w);
void webhooks_stop_delivering(Webhooks *w);

/* webhook-request.c: all that is sent but the secret. */
typedef struct WebhookRequest {
        char *body;
        char **headers; /* name, value, name, value... */
} WebhookRequest;

int webhook_request_make(const Webhook *h, const Event *event, const char *delivery, unsigned attempt, uint64_t now_sec,
                         WebhookRequest *ret);
void webhook_request_done(WebhookRequest *r);
/* The same for the same two, so that a receiver knows what he has got before. */
int webhook_delivery_id(const char *webhook, const char *event, char ret[40]);
/* Hex digits of HMAC-SHA256 over "<now_sec>.<body>". */
int webhook_sign(const char *secret, uint64_t now_sec, const char *body, char ret[65]);
