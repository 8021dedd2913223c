/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* What lies on disk, all below one directory of user sandbox-fsd:
 *   images/<key>       a layer, owned by the foreign range, 0700, never changed once it has this name
 *   images/tmp-*       one that is being made
 *   images/by-file-*   a link from a tar file (by its inode and times) to the layer of its content
 *   roots/<id>/        u w u2 w2: what one sandbox has written
 *   roots/.gone-*      one that is being deleted
 *   roots/.layer-<id>  a link: the layer that the sandbox has mapped, "-" if none of ours
 *   volumes/<id>/data  what a volume has; <id>/ is 0700 and ours, so nobody of the host passes
 *   volumes/<id>/image the same as a file system in a file, where nothing else bounds its size (volume-image.h)
 *   volumes/.gone-*    one that is being deleted, or made
 * The first id of the foreign range is FOREIGN_BASE; a file of uid 1 of an image belongs to FOREIGN_BASE + 1. */
#define STORE_DIRECTORY "/var/lib/sandbox"
#define FOREIGN_BASE 2147352576U
#define FOREIGN_COUNT 65536U

typedef struct Store {
        int images_fd, roots_fd, volumes_fd;
} Store;

#define STORE_NULL ((Store) { .images_fd = -EBADF, .roots_fd = -EBADF, .volumes_fd = -EBADF })

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

#define STORE_TEMPORARY_PREFIX "tmp-"
#define STORE_GONE_PREFIX ".gone-"
#define STORE_USE_PREFIX ".layer-"
#define STORE_LINK_PREFIX "by-file-"
#define STORE_NO_LAYER "-"
