/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/mount.h>
#include <stddef.h>
#include <stdint.h>

/* Mounts by descriptor. All functions return a negative errno on failure; what a failure leaves open does not matter,
 * because a sandbox whose mounts fail is killed. */

#define MOUNT_ATTR_PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define MOUNT_ATTR_DATA (MOUNT_ATTR_PLAIN | MOUNT_ATTR_NOEXEC)

typedef struct FsOption {
        const char *key;
        const char *value; /* NULL: a flag */
} FsOption;

/* A new file system, detached. The context goes to *ret_context if that is not NULL, and is closed otherwise. */
int fs_make(const char *type, const FsOption *options, size_t n_options, unsigned attributes, int *ret_context);
/* Sets size and number of inodes of a tmpfs and closes its context. */
int tmpfs_resize(int context, uint64_t size, uint64_t inodes);

/* Attaches a detached mount, or moves an attached one, to a path below a directory, or to the target itself. */
int mount_move(int mount, int directory, const char *path);
int mount_move_to(int mount, int target);
/* Binds what stands at a path below a directory to the target; attributes are added to those of its mount. */
int mount_bind(int directory, const char *path, unsigned attributes, int target);
int mount_set_attributes(int mount, unsigned attributes);

/* Opens a place to mount on (O_PATH) below a root that is not to be trusted: no link is followed, none leads out. */
int open_target(int root, const char *path, unsigned flags);
/* The same for a directory, which is made if it is missing. */
int open_or_make_directory(int root, const char *name);
