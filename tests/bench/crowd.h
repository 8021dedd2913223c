/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tests/bench/bench.h"

/* Many clients at once: a thread and a connection each. All return a negative errno when one request failed. */

/* n times create + exec + delete, by so many clients together; microseconds from the first to the last. */
int crowd_cycles(const char *address, unsigned clients, unsigned n, double *ret_usec);
/* The same without the deletes, which come afterwards and are not counted. */
int crowd_starts(const char *address, unsigned clients, unsigned n, double *ret_usec);

/* n sandboxes that stand. NULL if one could not be made. */
typedef struct Crowd Crowd;
Crowd *crowd_new(const char *address, unsigned clients, unsigned n);
void crowd_end(Crowd *c);

/* Processes of our services, once there are none or time is up. */
double crowd_wait_for_nobody(unsigned seconds);
double crowd_available_mib(void);
