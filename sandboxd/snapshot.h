/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Snapshots: what a sandbox had written, kept by sandbox-fsd, and what it was, kept as an object of the store. A snapshot
 * lives until it is deleted, whatever becomes of the sandbox. No HTTP here. */

#define SNAPSHOT_KIND "snapshot"
#define EVENT_SNAPSHOT "sandbox.snapshot"
#define EVENT_SNAPSHOT_DELETED "snapshot.deleted"
#define EVENT_RESTORED "sandbox.restored"
#define EVENT_CLONED "sandbox.cloned"

/* The record with all that a clone needs; snapshot_to_json() is what clients see of it. */
typedef void (*SnapshotCallback)(json_t *record, const sd_bus_error *error, void *userdata);

typedef struct SnapshotRequest {
        Sandbox *sandbox;
        const char *name;       /* NULL: its id */
        bool hidden;            /* for a moment: no object, no client */
        IdempotencyUse *use;    /* borrowed until the callback; may be NULL */
} SnapshotRequest;

/* -EBUSY with error: a limit. */
int snapshot_take(Manager *m, const SnapshotRequest *request, SnapshotCallback callback, void *userdata,
                  sd_bus_error *error);
/* -ENOENT. */
int snapshot_get(Store *s, const char *id, json_t **ret);
/* Of a sandbox (public id), as clients see them: an array. */
int snapshot_list(Store *s, const char *sandbox, json_t **ret);
json_t *snapshot_to_json(const json_t *record);
/* The object, and its files as soon as nobody stands on them. -ENOENT. */
int snapshot_remove(Manager *m, const char *id);
void snapshot_drop_files(Manager *m, const char *id);
/* Unless there is an object of it after all. */
void snapshot_drop_hidden(Manager *m, const char *id);
/* At a start: files of which there is no object are deleted. */
void snapshot_reconcile(Manager *m);

/* As it would be kept, of the sandbox as it is now. */
int snapshot_make_record(const Sandbox *s, const char *name, json_t **ret);
int snapshot_random_image_id(char ret[static 80]);

/* error NULL: it is as it was then; all that ran is ended. */
typedef void (*RestoreCallback)(const sd_bus_error *error, void *userdata);

/* WrongState with error: another one is under way, or a clone on disk. */
int snapshot_restore(Manager *m, Sandbox *s, const json_t *record, RestoreCallback callback, void *userdata,
                     sd_bus_error *error);
