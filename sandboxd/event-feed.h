/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/event.h"

/* Events for many who read along, each at his own pace. The last ones stand in one ring that all share; a reader is
 * a place in it, so that he costs the same whether he keeps up or not. Who falls out of the ring, or comes back after
 * a while, reads from the database until he has reached the ring again: nothing is lost to him that is kept at all. */

typedef struct EventFeed EventFeed;
typedef struct EventReader EventReader;

/* One event as it is sent: "id: 7\n" and then, from n_id on, "data: {...}\n\n". */
typedef struct EventFrame {
        unsigned n_ref;
        uint64_t number;        /* 0: it could not be kept */
        char *topic, *sandbox;
        size_t n_id, n;
        char *text;
} EventFrame;

EventFrame *event_frame_unref(EventFrame *f);
DEFINE_CLEANUP(EventFrame *, event_frame_unref)

#define EVENT_FEED_FRAMES 1024U
#define EVENT_FEED_BYTES (4 * MiB)

int event_feed_new(EventHub *hub, Store *store, EventFeed **ret);
EventFeed *event_feed_free(EventFeed *f);
DEFINE_CLEANUP(EventFeed *, event_feed_free)

typedef struct EventFilter {
        const char *topic;      /* exact, or with a '*' at its end for all that begin so; NULL: all */
        const char *sandbox;    /* public id; NULL: all */
} EventFilter;

/* resume: those after the number `after` first; else those from now on. wake() is called when there may be something,
 * from within the loop. */
typedef struct EventReaderOptions {
        EventFilter filter;
        bool resume;
        uint64_t after;
        void (*wake)(void *userdata);
        void *userdata;
} EventReaderOptions;

int event_reader_new(EventFeed *f, const EventReaderOptions *options, EventReader **ret);
EventReader *event_reader_free(EventReader *r);
DEFINE_CLEANUP(EventReader *, event_reader_free)

/* 1: *ret is the next, to be unreferenced. 0: there is none now. -ERANGE: some that he has not read are forgotten; it is
 * said once. -EAGAIN: many were looked at, and none is for him; there are more. */
int event_reader_next(EventReader *r, EventFrame **ret);
