/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "sandbox-execd/systemd-client.h"

/* Keeps the one transient timer of systemd at the earliest deadline of all sandboxes. An earlier one is armed at once; a
 * later one (the earliest sandbox is gone) after a moment, since several usually go together, and a timer that fires too
 * early only finds nothing due. */
typedef struct Deadlines Deadlines;

int deadlines_new(sd_event *event, SystemdClient *systemd, Deadlines **ret);
Deadlines *deadlines_free(Deadlines *d);
/* The earliest deadline is now this (CLOCK_BOOTTIME, USEC_INFINITY: none). */
void deadlines_set_earliest(Deadlines *d, uint64_t usec);
/* Something is still to be told to systemd: the daemon must stay. */
bool deadlines_pending(const Deadlines *d);
