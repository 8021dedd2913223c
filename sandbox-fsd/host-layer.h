/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* The layer that lies over a read-only /usr: the links to it, empty directories, and of /etc only what programs need
 * and everybody may read, by a table. Never keys, accounts, network names or the machine's id. */

#define HOST_LAYER_KEY_MAX 64U

/* "host-<hash>", which changes with every file that would be taken. root_fd is the tree that /usr stands in.
 * watch_fd: an inotify instance (or -EBADF) that is to tell of every such change; closed if it cannot. */
int host_layer_key(int root_fd, int *watch_fd, char ret[HOST_LAYER_KEY_MAX]);
/* Fills an empty directory; the caller's umask is 0. Files that it may not read are left out. */
int host_layer_build(int root_fd, int target_fd);
