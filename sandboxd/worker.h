/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"
#include "sandboxd/membership.h"

/* This worker among others. A sandbox's record says whose it is; one that is another's and does not run here is only
 * shown here, until its worker is dead and somebody reaps. No HTTP. */

#define WORKER_DEAD_MSEC UINT64_C(30000)

typedef struct Workers Workers;

int workers_new(Manager *m, Workers **ret);
Workers *workers_free(Workers *w);

bool worker_is_alive(const Member *member, uint64_t now_msec);
/* Whether b is the better place for a new sandbox: the one that is used least, those without a limit last. Full ones are
 * none. */
bool worker_is_better(const Member *a, const Member *b);

int workers_list(Workers *w, json_t **ret);
int workers_own(Workers *w, json_t **ret);
/* -ENOENT: all are full. */
int workers_select(Workers *w, char **ret_id);

typedef struct WorkersReaped {
        unsigned workers, reassigned, expired;
} WorkersReaped;

/* Of dead workers: what runs here is ours from now on, the rest is over. */
int workers_reap(Workers *w, WorkersReaped *ret);
/* Records that do not say whose they are, of before there was such a thing, become ours. */
unsigned workers_migrate(Workers *w);
