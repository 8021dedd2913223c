/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Work that must go on at a time although sandboxd may have left, or been killed, by then: systemd starts us again, told
 * by sandbox-execd's timer. Each source of such work says when it wants to run next; the earliest counts. */

typedef enum WakeSource {
        WAKE_QUEUE,
        WAKE_ALERTS,
        WAKE_UPLOADS,
        WAKE_WEBHOOKS,
        _WAKE_SOURCE_MAX,
} WakeSource;

typedef struct Waker Waker;

int waker_new(Manager *m, Waker **ret);
Waker *waker_free(Waker *w);
/* CLOCK_BOOTTIME; USEC_INFINITY: nothing to do. One who is at work, and wants to be started again should he die, says
 * a moment from now, again and again (waker_keep()). */
void waker_set(Waker *w, WakeSource source, uint64_t usec);
/* From now on: start us within WAKER_GRACE_USEC, should we be gone. Until waker_set(). */
void waker_keep(Waker *w, WakeSource source);

#define WAKER_GRACE_USEC (6 * USEC_PER_SEC)
