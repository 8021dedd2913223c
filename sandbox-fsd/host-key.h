/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-fsd/host-layer.h"

/* The keys of a few trees, each as long as nothing that it was made from has changed. Zeroed is empty. */

#define HOST_KEYS_MAX 4U

typedef struct HostKey {
        uint64_t device, inode;  /* of the tree's root */
        uint64_t usec;           /* when it was made; 0: unused */
        int watch_fd;
        char key[HOST_LAYER_KEY_MAX];
} HostKey;

typedef struct HostKeys {
        HostKey keys[HOST_KEYS_MAX];
} HostKeys;

/* host_layer_key(), or what it said before. */
int host_keys_get(HostKeys *k, int root_fd, char ret[HOST_LAYER_KEY_MAX]);
void host_keys_done(HostKeys *k);
