/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Which job runs next, and when one that failed is tried again. No store, no bus and no clock: times come in, choices
 * go out, so that all of it can be tested by rows.
 *
 * Each sandbox has a lane. Within a lane the order is that of submission, between lanes it goes round: a sandbox with a
 * thousand jobs delays another one's only job by no more than one turn. */

typedef struct QueuePolicy QueuePolicy;
typedef struct QueueLane QueueLane;

typedef enum QueuePlace {
        QUEUE_NOWHERE,
        QUEUE_READY,
        QUEUE_DELAYED,          /* until due_usec; those behind it go first */
        QUEUE_RUNNING,
        _QUEUE_PLACE_MAX,
} QueuePlace;

/* Embedded in what is scheduled. */
typedef struct QueueItem QueueItem;
struct QueueItem {
        QueueLane *lane;
        QueueItem *next, *previous;
        QueuePlace place;
        uint64_t number;        /* order of submission */
        uint64_t due_usec;
};

typedef struct QueueLimits {
        unsigned lane, total;   /* running at a time */
} QueueLimits;

int queue_policy_new(QueuePolicy **ret);
/* No item may be in it any more. */
QueuePolicy *queue_policy_free(QueuePolicy *p);
DEFINE_CLEANUP(QueuePolicy *, queue_policy_free)

/* Puts a new item where it belongs: QUEUE_READY, QUEUE_DELAYED or, after a restart, QUEUE_RUNNING. */
int queue_policy_add(QueuePolicy *p, const char *lane, QueueItem *item, QueuePlace place);
/* Moves one; nothing else but place (and due_usec) changes, so it keeps its rank. */
void queue_policy_move(QueueItem *item, QueuePlace place);
void queue_policy_remove(QueueItem *item);

/* The next to run, which is QUEUE_RUNNING then; NULL: none now. is_open says whether a lane's jobs may be started. */
typedef bool (*QueueIsOpen)(const char *lane, void *userdata);
QueueItem *queue_policy_next(QueuePolicy *p, uint64_t now_usec, const QueueLimits *limits, QueueIsOpen is_open,
                             void *userdata);

/* What there is to do in open lanes. */
typedef struct QueueOutlook {
        bool busy;              /* something runs, or could if there were room */
        uint64_t due_usec;      /* of the first delayed one; USEC_INFINITY: none */
} QueueOutlook;

QueueOutlook queue_policy_outlook(QueuePolicy *p, QueueIsOpen is_open, void *userdata);

const char *queue_item_lane(const QueueItem *item);
/* Any item of a lane, running ones first; NULL if there is none. */
QueueItem *queue_policy_any(QueuePolicy *p, const char *lane);
unsigned queue_policy_running(const QueuePolicy *p);

/* The pause after the n-th failure (from 1): twice as long each time up to the longest, of which the half is drawn by
 * lot, so that what failed together does not come back together. */
uint64_t queue_backoff_usec(unsigned n, uint64_t first_usec, uint64_t longest_usec, uint32_t lot);
