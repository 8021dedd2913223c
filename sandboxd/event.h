/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "sandboxd/store.h"

/* What happened, told by the code that made it happen. An event is written down first and then handed to those who
 * listen, all that came in one turn of the loop together: no reply waits for it, and whoever resumes after a number
 * finds everything that he was not handed. */

typedef struct Manager Manager;
typedef struct EventHub EventHub;
typedef struct EventListener EventListener;

#define EVENT_KIND "event"
#define EVENT_TOPIC_MAX 128U

typedef struct Event {
        uint64_t number;        /* counts upwards: the id of a stream's frame */
        const char *id, *topic;
        const char *sandbox;    /* public id; "": none */
        const char *data;       /* a JSON object */
        uint64_t time_msec;
} Event;

/* During it neither listeners may be added nor removed but the one that is called. */
typedef void (*EventCallback)(const Event *event, void *userdata);

/* age_sec 0: as old as they get. */
int event_hub_new(sd_event *loop, Store *store, uint64_t keep, uint64_t age_sec, EventHub **ret);
void event_hub_set_keep(EventHub *h, uint64_t keep, uint64_t age_sec);
/* What is not written yet is written. */
EventHub *event_hub_free(EventHub *h);
DEFINE_CLEANUP(EventHub *, event_hub_free)

/* sandbox: public id or NULL. data: an object or NULL, taken over. Never fails to its caller: what cannot be kept is
 * logged. */
void event_publish(Manager *m, const char *topic, const char *sandbox, json_t *data);
/* Which event it became, and when: a publisher who is told hears what all others will. */
typedef struct EventStamp {
        char id[40];            /* "": it could not be kept */
        uint64_t time_msec;
} EventStamp;

/* ret may be NULL. */
void event_hub_publish(EventHub *h, const char *topic, const char *sandbox, json_t *data, EventStamp *ret);
/* Now, not at the end of the turn. */
void event_hub_flush(EventHub *h);

int event_listen(EventHub *h, EventCallback callback, void *userdata, EventListener **ret);
EventListener *event_unlisten(EventListener *l);

/* As the API shows it. */
json_t *event_to_json(const Event *event);
Event event_from_row(const StoredObject *row);

/* The process before us was killed: it may have written down what happened, and not the event of it. */
bool event_hub_was_cut(const EventHub *h);

/* Numbers of events that are kept; 0: there are none. */
uint64_t event_hub_oldest(EventHub *h);
uint64_t event_hub_newest(EventHub *h);
/* A number that is above those of all events before msec, and not above that of any later one. */
uint64_t event_hub_number_at(EventHub *h, uint64_t msec);
/* Visible ASCII. */
bool event_topic_is_valid(const char *topic);
