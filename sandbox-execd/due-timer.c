/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/due-timer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

void due_timer_name(uint64_t deadline_usec, char ret[DUE_TIMER_NAME_MAX]) {
        snprintf(ret, DUE_TIMER_NAME_MAX, "sandbox-due@%" PRIu64 ".timer", deadline_usec);
}

int due_timer_from_name(const char *unit, uint64_t *ret) {
        const char *digits = startswith(unit, "sandbox-due@");
        char copy[24];
        size_t n = digits ? strspn(digits, "0123456789") : 0;

        if (n == 0 || n >= sizeof copy || !streq(digits + n, ".timer"))
                return -EINVAL;
        memcpy(copy, digits, n);
        copy[n] = 0;
        return parse_u64(copy, ret) < 0 ? -EINVAL : 0;
}

bool due_timer_is_stale(uint64_t deadline_usec, uint64_t next_usec, uint64_t now) {
        return deadline_usec <= now || (next_usec != USEC_INFINITY && deadline_usec > next_usec);
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
