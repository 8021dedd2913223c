/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Token buckets by key, in a table of fixed size: a newcomer takes the place of the bucket that was used least
 * recently among the few that its hash allows, so that no flood of keys makes it grow. */

typedef struct RateTable RateTable;

int rate_table_new(double per_second, double burst, RateTable **ret);
RateTable *rate_table_free(RateTable *t);
DEFINE_CLEANUP(RateTable *, rate_table_free)

/* Takes one; false if there is none. */
bool rate_table_take(RateTable *t, const char *key, uint64_t now_usec);
/* After that: in how many seconds there will be one, at least 1. */
unsigned rate_table_wait_sec(RateTable *t, const char *key, uint64_t now_usec);
