/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>

#include "libsandbox/macro.h"

/* Layers of a root: directories that sandbox-fsd passes as descriptors, cloned as detached mounts and mapped into the
 * id range of one sandbox. */

/* Of sandbox-fsd; what sandboxes write goes to its file system. */
#define STORE_PATH "/var/lib/sandbox"

/* First id of the range in which images lie on disk, so that a set-uid root file of an image is never the host's. */
#define FOREIGN_ID_FIRST 2147352576U

typedef enum LayerKind {
        LAYER_LOWER,
        LAYER_UPPER,
        LAYER_USR,
        LAYER_FROZEN, /* what a snapshot holds: u and u2 */
        LAYER_MERGED, /* the same: all that the source of a clone began with, in one */
        _LAYER_KIND_MAX,
        _LAYER_KIND_INVALID = -EINVAL,
} LayerKind;

LayerKind layer_kind_from_string(const char *s);

typedef struct Layer {
        int fd;
        LayerKind kind;
        uint32_t origin; /* 0, or FOREIGN_ID_FIRST */
} Layer;

/* A detached mount of the directory; user_fd is the user namespace that maps its ids. *idmapped is cleared, and the
 * layer shown as it is, where the file system cannot map ids and the layer is the host's own, read-only: everybody may
 * read it anyway. owner is the user that the path of the directory is looked up as, see the implementation. */
int layer_clone(const Layer *layer, int user_fd, uid_t owner, bool *idmapped);

/* Has a detached mount show its ids through that namespace, read-only; as layer_clone() does. */
int layer_map(int tree, int user_fd, bool *idmapped);
int layer_make_read_only(int tree);
/* What name is in the directory that fd is, opened by way of the path that fd has in our own mount namespace, with the
 * rights of owner: as it is here, which counts where something is mounted on it. O_PATH. */
int layer_open_below(int fd, const char *name, uid_t owner);

/* The template of /dev, attached at path in the mount namespace of this process; returns its mount. */
int dev_template_new(const char *path);
int dev_template_clone(int template_fd);
