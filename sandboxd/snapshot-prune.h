/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Snapshots that are deleted without a client asking for it: to stay within what they may take, if the operator wants
 * that (SANDBOX_SNAPSHOTS_PRUNE), and for their age (SANDBOX_SNAPSHOTS_AGE_SEC). The newest of a sandbox that lives
 * (SANDBOX_SNAPSHOTS_KEEP) are not touched by either. Each deletion is an event. */

#define EVENT_PRUNED "sandbox.snapshot.pruned"

typedef struct SnapshotFiles {
        char id[40];
        uint64_t bytes;
        bool used; /* a sandbox stands on it: deleting it frees nothing yet */
} SnapshotFiles;

/* What lies on disk, copies behind clones too. */
typedef struct SnapshotUsage {
        SnapshotFiles *files;
        size_t n;
        uint64_t bytes;
} SnapshotUsage;

void snapshot_usage_done(SnapshotUsage *u);
/* Of fsd's answer to Usage(). */
int snapshot_usage_read(sd_bus_message *reply, SnapshotUsage *ret);

/* What one more may take: what is left of the budget, and what could be deleted for it. */
int snapshot_room(Manager *m, const SnapshotUsage *u, uint64_t *ret_bytes);
/* Deletes for one more of that size. -ENOSPC: that is not enough, and nothing is deleted. */
int snapshot_make_room(Manager *m, const SnapshotUsage *u, uint64_t bytes);
/* Deletes so that there may be one more; -EBUSY: there may not. */
int snapshot_make_place(Manager *m);
/* Those that are too old; after how many microseconds the next one is. */
uint64_t snapshot_prune_old(Manager *m);
/* That, now and from time to time. */
int snapshot_prune_begin(Manager *m);
