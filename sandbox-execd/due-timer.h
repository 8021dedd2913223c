/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* The timer for the earliest deadline: sandbox-due@<usec>.timer, which starts the template service of that name. Its name
 * carries the deadline since nothing of a timer can be changed while it lives. */
#define DUE_TIMER_NAME_MAX 64U

void due_timer_name(uint64_t deadline_usec, char ret[DUE_TIMER_NAME_MAX]);
/* The deadline of such a name; -EINVAL when it is none. */
int due_timer_from_name(const char *unit, uint64_t *ret);
/* Whether a timer is of no use once the one of next is armed (USEC_INFINITY: none is): it has fired, or comes after. One
 * between now and next may have been armed this moment by sandbox-execd, so it stays. */
bool due_timer_is_stale(uint64_t deadline_usec, uint64_t next_usec, uint64_t now_usec);
/* What is left until the deadline, never 0: systemd takes OnActiveSec=0 for unset. */
uint64_t due_timer_delay(uint64_t deadline_usec, uint64_t now_usec);
/* The (sv) properties for StartTransientUnit(). */
int due_timer_append_properties(sd_bus_message *m, uint64_t deadline_usec);
