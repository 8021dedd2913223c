/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/queue-policy.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/hashmap.h"

/* Three lists a lane. The ready one is in order of submission and the delayed one in order of time, so that a choice
 * looks at the head of each lane and at nothing else, however much waits behind. */

typedef struct ItemList {
        QueueItem *first, *last;
} ItemList;

/* A lane is a sandbox's share of the queue. Its lists are by what its items wait for; lanes stand in a ring, and the
 * turn goes round it, so that one with a thousand jobs gets as much as one with a single one. */
struct QueueLane {
        QueuePolicy *policy;
        char *key;
        QueueLane *next, *previous; /* a ring */
        ItemList lists[_QUEUE_PLACE_MAX];
        unsigned n_items, n_running;
};

struct QueuePolicy {
        Hashmap *lanes;
        QueueLane *turn;        /* whose turn it is; NULL: there is no lane */
        unsigned n_running;
};

int queue_policy_new(QueuePolicy **ret) {
        _cleanup_(queue_policy_freep) QueuePolicy *p = new0(QueuePolicy, 1);

        if (!p)
                return -ENOMEM;
        p->lanes = hashmap_new();
        if (!p->lanes)
                return -ENOMEM;
        *ret = TAKE_PTR(p);
        return 0;
}

QueuePolicy *queue_policy_free(QueuePolicy *p) {
        if (p) {
                assert(!p->turn);
                hashmap_free(p->lanes);
                free(p);
        }
        return NULL;
}

static int lane_new(QueuePolicy *p, const char *key, QueueLane **ret) {
        QueueLane *l = new0(QueueLane, 1);
        int r;

        if (!l)
                return -ENOMEM;
        l->policy = p;
        l->key = strdup(key);
        r = l->key ? hashmap_put(p->lanes, l->key, l) : -ENOMEM;
        if (r < 0) {
                free(l->key);
                free(l);
                return r;
        }
        /* Behind the one whose turn it is: it has waited for nothing yet. */
        if (!p->turn)
                p->turn = l->next = l->previous = l;
        else {
                l->next = p->turn;
                l->previous = p->turn->previous;
                l->next->previous = l->previous->next = l;
        }
        *ret = l;
        return 0;
}

static void lane_free(QueueLane *l) {
        QueuePolicy *p = l->policy;

        if (p->turn == l)
                p->turn = l->next == l ? NULL : l->next;
        l->next->previous = l->previous;
        l->previous->next = l->next;
        (void) hashmap_remove(p->lanes, l->key);
        free(l->key);
        free(l);
}

static bool goes_before(QueuePlace place, const QueueItem *a, const QueueItem *b) {
        if (place == QUEUE_DELAYED && a->due_usec != b->due_usec)
                return a->due_usec < b->due_usec;
        return a->number < b->number;
}

/* From the end, where what is new belongs; but what comes back after a failure mostly belongs to the front. */
static QueueItem *find_successor(const ItemList *list, QueuePlace place, const QueueItem *item) {
        QueueItem *next = list->first;

        if (!list->last || goes_before(place, list->last, item))
                return NULL;
        while (!goes_before(place, item, next))
                next = next->next;
        return next;
}

static void list_add(QueueItem *item, QueuePlace place) {
        ItemList *list = item->lane->lists + place;
        QueueItem *next = find_successor(list, place, item);

        item->place = place;
        item->next = next;
        item->previous = next ? next->previous : list->last;
        *(item->previous ? &item->previous->next : &list->first) = item;
        *(next ? &next->previous : &list->last) = item;
        if (place == QUEUE_RUNNING) {
                item->lane->n_running++;
                item->lane->policy->n_running++;
        }
}

static void list_remove(QueueItem *item) {
        ItemList *list = item->lane->lists + item->place;

        *(item->previous ? &item->previous->next : &list->first) = item->next;
        *(item->next ? &item->next->previous : &list->last) = item->previous;
        if (item->place == QUEUE_RUNNING) {
                item->lane->n_running--;
                item->lane->policy->n_running--;
        }
        item->place = QUEUE_NOWHERE;
}

int queue_policy_add(QueuePolicy *p, const char *lane, QueueItem *item, QueuePlace place) {
        int r;

        assert(item->place == QUEUE_NOWHERE);
        assert(place != QUEUE_NOWHERE);

        item->lane = hashmap_get(p->lanes, lane);
        if (!item->lane) {
                r = lane_new(p, lane, &item->lane);
                if (r < 0)
                        return r;
        }
        item->lane->n_items++;
        list_add(item, place);
        return 0;
}

void queue_policy_move(QueueItem *item, QueuePlace place) {
        assert(item->place != QUEUE_NOWHERE);
        assert(place != QUEUE_NOWHERE);

        list_remove(item);
        list_add(item, place);
}

void queue_policy_remove(QueueItem *item) {
        QueueLane *l = item->lane;

        if (item->place == QUEUE_NOWHERE)
                return;
        list_remove(item);
        item->lane = NULL;
        if (--l->n_items == 0)
                lane_free(l);
}

static void wake_delayed(QueueLane *l, uint64_t now_usec) {
        QueueItem *item;

        while ((item = l->lists[QUEUE_DELAYED].first) && item->due_usec <= now_usec)
                queue_policy_move(item, QUEUE_READY);
}

/* At most once around the ring: a lane that may not run now (full, paused, nothing due) is passed over, not waited for. */
QueueItem *queue_policy_next(QueuePolicy *p, uint64_t now_usec, const QueueLimits *limits, QueueIsOpen is_open,
                             void *userdata) {
        QueueLane *first = p->turn, *l = first;

        if (!l || p->n_running >= limits->total)
                return NULL;
        do {
                QueueItem *item;

                wake_delayed(l, now_usec);
                item = l->lists[QUEUE_READY].first;
                if (item && l->n_running < limits->lane && is_open(l->key, userdata)) {
                        p->turn = l->next;
                        queue_policy_move(item, QUEUE_RUNNING);
                        return item;
                }
                l = l->next;
        } while (l != first);
        return NULL;
}

/* What would be lost if nobody woke us: is there work now, and when is the next. */
QueueOutlook queue_policy_outlook(QueuePolicy *p, QueueIsOpen is_open, void *userdata) {
        QueueOutlook o = { .busy = p->n_running > 0, .due_usec = USEC_INFINITY };
        QueueLane *l;

        HASHMAP_FOREACH(l, p->lanes) {
                const QueueItem *ready = l->lists[QUEUE_READY].first, *delayed = l->lists[QUEUE_DELAYED].first;

                if ((!ready && !delayed) || !is_open(l->key, userdata))
                        continue;
                o.busy |= !!ready;
                if (delayed)
                        o.due_usec = MIN(o.due_usec, delayed->due_usec);
        }
        return o;
}

const char *queue_item_lane(const QueueItem *item) {
        return item->lane->key;
}

QueueItem *queue_policy_any(QueuePolicy *p, const char *lane) {
        QueueLane *l = hashmap_get(p->lanes, lane);

        /* what runs first: its commands have ended */
        for (QueuePlace i = _QUEUE_PLACE_MAX; l && i-- > 0;)
                if (l->lists[i].first)
                        return l->lists[i].first;
        return NULL;
}

unsigned queue_policy_running(const QueuePolicy *p) {
        return p->n_running;
}

/* Doubled with each failure up to the longest; the lot takes up to half of it away. */
uint64_t queue_backoff_usec(unsigned n, uint64_t first_usec, uint64_t longest_usec, uint32_t lot) {
        uint64_t usec = MIN(first_usec, longest_usec);

        for (unsigned i = 1; i < n && usec < longest_usec; i++)
                usec = MIN(usec * 2, longest_usec);
        return usec - (uint64_t) ((double) (usec / 2) * ((double) lot / UINT32_MAX));
}
