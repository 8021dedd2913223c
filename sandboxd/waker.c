/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/waker.h"

#include <errno.h>

#include "libsandbox/log.h"
#include "libsandbox/time-util.h"

/* The database remembers that a time was set, so that a fresh start that has nothing to do takes it back. A time that
 * moves on costs execd one small file, not a timer. */

#define WAKE_SET "wake_set"

struct Waker {
        Manager *manager;
        uint64_t wanted[_WAKE_SOURCE_MAX];
        bool kept[_WAKE_SOURCE_MAX];
        uint64_t told;          /* to execd; 0: nothing yet */
        bool remembered;        /* WAKE_SET in the database */
        sd_event_source *timer; /* moves the time on while something is kept */
};

static uint64_t earliest(const Waker *w) {
        uint64_t usec = USEC_INFINITY, grace = now_usec(CLOCK_BOOTTIME) + WAKER_GRACE_USEC;

        for (size_t i = 0; i < _WAKE_SOURCE_MAX; i++)
                usec = MIN(usec, w->kept[i] ? grace : w->wanted[i]);
        return usec;
}

static void remember(Waker *w, bool set) {
        if (w->remembered != set && store_set_number(w->manager->store, WAKE_SET, set) >= 0)
                w->remembered = set;
}

static void on_told(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Waker *w = userdata;

        (void) reply;
        if (!error)
                return;
        log_warning("Failed to ask for a start at a later time: %s", error->message);
        w->told = 0; /* the next change tells it anew */
}

static void tell(Waker *w) {
        uint64_t usec = earliest(w);

        if (usec == w->told || (usec == USEC_INFINITY && !w->remembered) || w->manager->stopping)
                return;
        if (usec != USEC_INFINITY)
                remember(w, true);
        if (execd_set_wake(w->manager->execd, usec, on_told, w) < 0)
                return;
        w->told = usec;
        if (usec == USEC_INFINITY)
                remember(w, false);
}

static bool any_kept(const Waker *w) {
        for (size_t i = 0; i < _WAKE_SOURCE_MAX; i++)
                if (w->kept[i])
                        return true;
        return false;
}

static void schedule(Waker *w) {
        if (any_kept(w)) {
                (void) sd_event_source_set_time_relative(w->timer, WAKER_GRACE_USEC / 2);
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
        } else
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Waker *w = userdata;

        (void) source;
        (void) usec;
        tell(w);
        schedule(w);
        return 0;
}

int waker_new(Manager *m, Waker **ret) {
        Waker *w = new0(Waker, 1);
        uint64_t set;
        int r;

        if (!w)
                return -ENOMEM;
        w->manager = m;
        for (size_t i = 0; i < _WAKE_SOURCE_MAX; i++)
                w->wanted[i] = USEC_INFINITY;
        r = store_get_number(m->store, WAKE_SET, &set);
        /* A start that finds nothing to do says so, a moment after the others had their say. */
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &w->timer, CLOCK_MONOTONIC, USEC_PER_SEC, 0, on_timer, w);
        if (r < 0) {
                waker_free(w);
                return r;
        }
        w->remembered = set > 0;
        *ret = w;
        return 0;
}

Waker *waker_free(Waker *w) {
        if (w) {
                sd_event_source_disable_unref(w->timer);
                free(w);
        }
        return NULL;
}

void waker_set(Waker *w, WakeSource source, uint64_t usec) {
        w->kept[source] = false;
        w->wanted[source] = usec;
        tell(w);
        schedule(w);
}

void waker_keep(Waker *w, WakeSource source) {
        if (w->kept[source])
                return;
        w->kept[source] = true;
        tell(w);
        schedule(w);
}
