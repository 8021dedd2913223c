/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/client.h"

/* Trying again after a connection broke, with growing pauses, until nothing has moved for a minute. */
typedef struct Patience {
        int64_t since_msec;      /* something moved last */
        unsigned pause_msec, n_conflicts;
        bool met;                /* the server was there: one that never was is not waited for */
} Patience;

void patience_begin(Patience *p);
/* Something has moved. */
void patience_renew(Patience *p);
/* Waits, and says whether it is worth another try. r and result are what the last one came to. cancel_fd is readable when
 * nobody wants it any more; -1: there is none. */
bool patience_wait(Patience *p, int r, const TransferResult *result, int cancel_fd);
