/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/event.h"
#include "sandboxd/sandbox.h"

/* Webhooks: events are sent to servers of other people. Each webhook has a place among the events and gets those that
 * are for it one after the other, in their order: the next one when the one before was taken (a status of 2xx) or given
 * up. The place stands in the store, so that an event is sent at least once whoever is killed when; one that is sent
 * twice has the same id both times. No HTTP. */

#define WEBHOOK_KIND "webhook"
/* What has become of the events; the column of the sandbox has the webhook's id, the tag is the state. */
#define DELIVERY_KIND "delivery"
#define DELIVERIES_MAX 10000U           /* that are remembered, of all webhooks */

#define WEBHOOK_URL_MAX 2048U
#define WEBHOOK_SECRET_MAX 256U
#define WEBHOOK_TOPICS_MAX 32U

/* One that tells of an event that was given up. */
#define WEBHOOK_FAILED "webhook.failed"

typedef struct Webhooks Webhooks;
typedef struct Webhook Webhook;

int webhooks_new(Manager *m, Webhooks **ret);
Webhooks *webhooks_free(Webhooks *w);
/* The records are true: deliver. */
void webhooks_start(Webhooks *w);

typedef struct WebhookInit {
        const char *url, *secret;       /* secret NULL: one is made */
        char *const *topics;            /* NULL: all */
        const char *sandbox;            /* public id; NULL: all */
        bool enabled;
} WebhookInit;

/* http or https, a host, no user and password, visible ASCII. */
bool webhook_url_is_valid(const char *url);
/* Exact, or what it begins with and a '*'. */
bool webhook_topic_is_valid(const char *topic);

/* -E2BIG: there are as many as there may be. */
int webhook_add(Webhooks *w, const WebhookInit *init, Webhook **ret);
Webhook *webhook_find(Webhooks *w, const char *id);
int webhook_remove(Webhook *h);
/* NULL: stays as it is. One that is switched on again goes on where it was, at once. */
int webhook_change(Webhook *h, const char *url, char *const *topics, bool enabled);
bool webhook_is_enabled(const Webhook *h);
const char *webhook_id(const Webhook *h);
const char *webhook_sandbox(const Webhook *h);
/* All that clients may see, so not the secret. */
json_t *webhook_to_json(const Webhook *h);
const char *webhook_secret(const Webhook *h);
json_t *webhooks_to_json(Webhooks *w);

/* Once, now, with an event that never was, and without a trace. status 0: error says why there was none; a bus_error
 * says that we could not even try. */
typedef void (*WebhookTested)(unsigned status, const char *error, const sd_bus_error *bus_error, void *userdata);
int webhook_test(Webhook *h, WebhookTested callback, void *userdata);

/* Those of this sandbox deliver what there is of it, its end too, and are gone then. */
void webhooks_forget_sandbox(Webhooks *w, const Sandbox *s);
