/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/due-timer.h"

#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/time-util.h"

void due_timer_name(uint64_t deadline_usec, char ret[DUE_TIMER_NAME_MAX]) {
        snprintf(ret, DUE_TIMER_NAME_MAX, "sandbox-due@%" PRIu64 ".timer", deadline_usec);
}

uint64_t due_timer_delay(uint64_t deadline_usec, uint64_t now) {
        return deadline_usec > now ? deadline_usec - now : 1;
}

int due_timer_append_properties(sd_bus_message *m, uint64_t deadline_usec) {
        uint64_t delay = due_timer_delay(deadline_usec, now_usec(CLOCK_BOOTTIME));

        /* OnActiveSec= counts CLOCK_MONOTONIC, which stops in suspend: a resume shows as a change of the clock, then
         * the service looks at the deadlines and arms anew. */
        return sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)",
                                     "Description", "s", "Earliest deadline of the sandboxes",
                                     "OnActiveSec", "t", delay,
                                     "AccuracyUSec", "t", UINT64_C(1000),
                                     "OnClockChange", "b", 1,
                                     "RemainAfterElapse", "b", 0,
                                     "CollectMode", "s", "inactive-or-failed",
                                     "DefaultDependencies", "b", 0);
}
