/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* For sandbox-due, which has no event loop: arms the timer of the next deadline (USEC_INFINITY: none) and stops those
 * that are of no use any more. A timer that also watches the clock stays after it fired, so somebody must. */
int due_systemd_arm(uint64_t next_usec, uint64_t now_usec);
