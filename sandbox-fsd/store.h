/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "libsandbox/macro.h"

/* What lies on disk, all below one directory of user sandbox-fsd:
 *   images/<key>       a layer, owned by the foreign range, 0700, never changed once it has this name
 *   images/tmp-*       one that is being made
 *   images/by-file-*   a link from a tar file (by its inode and times) to the layer of its content
 *   roots/<id>/        u w u2 w2: what one sandbox has written
 *   roots/.gone-*      one that is being deleted
 *   roots/.old-<id>-<snapshot>  one that a sandbox had before it was restored, until that is certain
 *   roots/.old-<id>-*  the same, of an earlier time of which nobody told; goes with the sandbox
 *   roots/.layer-<id>  a link: the layer that the sandbox has mapped, "-" if none of ours
 *   roots/.next-<id>-<snapshot>/  what the sandbox is to write from the moment on in which roots/<id> becomes that snapshot
 *   roots/.snap-<id>-<snapshot>  a link: that the sandbox has that snapshot below what it writes
 *   snapshots/<snapshot>/  u u2: what one sandbox had written; never changed once it has this name
 *   snapshots/.layer-<snapshot>  a link: the layer of the image below it
 *   snapshots/.below-<snapshot>  a link: the snapshot between it and that layer, if there is one
 *   snapshots/.size-<snapshot>  a link: the bytes that it takes
 *   snapshots/.tmp-*, .gone-*  one that is being made, or deleted
 *   snapshots/.unwanted-<snapshot>  one that was deleted while sandboxes stand on it
 *   volumes/<id>/data  what a volume has; <id>/ is 0700 and ours, so nobody of the host passes
 *   volumes/<id>/image the same as a file system in a file, where nothing else bounds its size (volume-image.h)
 *   volumes/.gone-*    one that is being deleted, or made
 * The first id of the foreign range is FOREIGN_BASE; a file of uid 1 of an image belongs to FOREIGN_BASE + 1. */
#define STORE_DIRECTORY "/var/lib/sandbox"
#define FOREIGN_BASE 2147352576U
#define FOREIGN_COUNT 65536U

typedef struct Store {
        int images_fd, roots_fd, snapshots_fd, volumes_fd;
} Store;

#define STORE_NULL                                                                                 \
        ((Store) { .images_fd = -EBADF, .roots_fd = -EBADF, .snapshots_fd = -EBADF, .volumes_fd = -EBADF })

int store_open(const char *path, Store *ret);
void store_done(Store *s);

/* O_PATH descriptor of a layer that is there. */
int store_open_layer(const Store *s, const char *key);
/* Makes images/tmp-... for a helper to fill. */
int store_make_temporary(const Store *s, char **ret_name, int *ret_fd);
/* Gives it its name. -EEXIST: somebody else was first. */
int store_publish(const Store *s, const char *temporary, const char *key);
/* What a tar file was unpacked to; the caller frees. */
int store_get_link(const Store *s, const char *name, char **ret_key);
int store_set_link(const Store *s, const char *name, const char *key);

/* Whether what one sandbox writes can be bounded on disk. */
bool store_has_quotas(const Store *s);
/* The writable directory of a sandbox, made if need be. */
int store_open_root(const Store *s, const char *id, int *ret_fd);
/* Moves it aside; the name it has now, below roots_fd, is for deletion. -ENOENT: none. */
int store_retire_root(const Store *s, const char *id, char **ret_name);
/* The sandbox gets another one, over that snapshot: its name is free, what it has stays as it is. Fine if there is none. */
int store_set_root_aside(const Store *s, const char *id, const char *snapshot);
/* The other way round; what has its name now gets another one, for deletion. -ENOENT: none was set aside for that. */
int store_take_root_back(const Store *s, const char *id, const char *snapshot, char **ret_name);
/* One that was set aside, for deletion; -ENOENT: none. */
int store_retire_old_root(const Store *s, const char *id, char **ret_name);
/* Also those of which there is but the note of their layer. */
int store_list_roots(const Store *s, char ***ret_ids);
/* layer may be NULL: none of the store's. */
int store_set_use(const Store *s, const char *id, const char *layer);
void store_forget_use(const Store *s, const char *id);
/* -ENOENT: no sandbox of this id was given anything. */
int store_get_use(const Store *s, const char *id, char **ret_layer);
/* The directory of a volume, made if need be. */
int store_open_volume(const Store *s, const char *id, int *ret_fd);
/* As store_retire_root(), below volumes_fd. */
int store_retire_volume(const Store *s, const char *id, char **ret_name);
int store_list_volumes(const Store *s, char ***ret_ids);
/* Moves a layer aside; the name that it has now, below images_fd, is for deletion. */
int store_retire_layer(const Store *s, const char *layer, char **ret_name);
/* Names in a directory of ours that are to be deleted since whoever began it is gone. */
int store_list_leftovers(int directory_fd, const char *prefix, char ***ret_names);

/* Snapshots: of store-snapshot.c. */
#define SNAPSHOT_ID_MAX 40U
bool snapshot_id_is_valid(const char *id);
/* An empty one, not visible yet, over the layer that the sandbox has mapped; its descriptor is O_PATH. */
int store_make_snapshot(const Store *s, const char *snapshot, const char *sandbox, int *ret_fd);
int store_publish_snapshot(const Store *s, const char *snapshot, uint64_t bytes);
/* What it was published with; 0: it is what a sandbox wrote, and counts against that. */
uint64_t store_get_snapshot_size(const Store *s, const char *snapshot);
/* Whether a sandbox stands on it. */
int store_snapshot_is_used(const Store *s, const char *snapshot);
/* Also one that is unwanted: O_PATH. */
int store_open_snapshot(const Store *s, const char *snapshot);
/* The snapshot that it stands on; -ENOENT: on the image. */
int store_get_snapshot_below(const Store *s, const char *snapshot, char **ret_below);
/* The layer below it, STORE_NO_LAYER: none of ours. */
int store_get_snapshot_layer(const Store *s, const char *snapshot, char **ret_layer);
/* That the sandbox stands on it, until store_forget_use(). */
int store_use_snapshot(const Store *s, const char *sandbox, const char *snapshot);
/* The same, of one that has in it all that the sandbox began with, and takes the place of that for its clones. */
int store_adopt_snapshot(const Store *s, const char *sandbox, const char *snapshot);
bool store_snapshot_is_adopted(const Store *s, const char *sandbox, const char *snapshot);
/* As if it had not been noted the last time. */
int store_unuse_snapshot(const Store *s, const char *sandbox, const char *snapshot);
/* All but the last one that was noted. */
int store_forget_earlier(const Store *s, const char *sandbox);
/* The last one that was noted; -ENOENT: none. */
int store_get_used_snapshot(const Store *s, const char *sandbox, char **ret_snapshot);
/* Moves it aside for deletion (below snapshots_fd); *ret_name NULL: it is in use, and goes with its last user. */
int store_retire_snapshot(const Store *s, const char *snapshot, char **ret_name);
/* One more that can be deleted since nobody stands on it any more; -ENOENT: none. */
int store_retire_unwanted(const Store *s, char **ret_name);
/* What a sandbox has written becomes a snapshot, and is not copied (store-share.c): store_begin_share() makes the place
 * where it is to write then, its root is put on that, store_end_share() gives both their names. Each may be repeated,
 * and in between nothing that is named means anything else than before. */
int store_begin_share(const Store *s, const char *sandbox, const char *snapshot, char **ret_snapshot);
/* O_PATH descriptors: what it wrote, and where it is to write. */
int store_open_share(const Store *s, const char *sandbox, const char *snapshot, int *ret_written_fd, int *ret_next_fd);
/* What the sandbox stands on; -ENOENT also while a share that was begun makes that uncertain. */
int store_get_base(const Store *s, const char *sandbox, char **ret_snapshot);
int store_end_share(const Store *s, const char *sandbox, const char *snapshot);
/* One that was begun is given up with its root: it counts as set aside. */
int store_set_share_aside(const Store *s, const char *sandbox);
/* Notes of snapshots that are gone, if a crash has left any. */
void store_drop_notes(const Store *s);
/* What a crash has left of another owner on the way from one directory to the other. */
void store_mend_shares(const Store *s);
/* Those that an earlier run had made a place for: from now on they cannot be published, whoever still fills them. */
void store_retire_unfinished(const Store *s);
int store_list_snapshots(const Store *s, char ***ret_ids);
/* Those that were deleted, and are in use. */
int store_list_unwanted(const Store *s, char ***ret_ids);
/* Layers of images that snapshots need. */
int store_list_snapshot_layers(const Store *s, char ***layers);
/* For the parts of this module. */
int store_random_name(const char *prefix, char **ret);
int store_read_link(int directory_fd, const char *name, char **ret);
/* Over an old one; prefix: of names that are cleared away, should we die. */
int store_put_link(int directory_fd, const char *prefix, const char *name, const char *target);
int store_make_foreign(int parent_fd, const char *name, mode_t mode);
int store_make_root(const Store *s, const char *name);
int store_note_base(const Store *s, const char *snapshot, const char *sandbox);
void store_forget_snapshots(const Store *s, const char *sandbox);

#define STORE_SNAPSHOT_USE_PREFIX ".snap-"
#define STORE_SNAPSHOT_TEMPORARY_PREFIX ".tmp-"
#define STORE_UNWANTED_PREFIX ".unwanted-"
#define STORE_TEMPORARY_PREFIX "tmp-"
#define STORE_GONE_PREFIX ".gone-"
#define STORE_OLD_PREFIX ".old-"
#define STORE_NEXT_PREFIX ".next-"
#define STORE_USE_PREFIX ".layer-"
#define STORE_LINK_PREFIX "by-file-"
#define STORE_NO_LAYER "-"
