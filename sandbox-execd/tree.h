/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/image-source.h"
#include "sandbox-execd/layer.h"

/* Which directories of the host a sandbox may be shown: those of the store, and the trees that images.d lists. */

typedef struct Trees {
        const char *store;
        const char *const *directories; /* of images.d */
        char **paths;                   /* what they list */
        uint64_t stamp;
        bool loaded;
} Trees;

#define TREES_DEFAULT ((Trees) { .store = STORE_PATH, .directories = image_directories })

void trees_done(Trees *t);
/* Each: 0, or -EPERM. Of the store what is shown by the ids of images; by its own ids, and read-only, what is listed. */
int trees_check_layer(Trees *t, const Layer *layer);
/* A directory somewhere below the store. */
int trees_check_store(const Trees *t, int fd);
/* The very directory that is at this path below the store. */
int trees_check_entry(const Trees *t, int fd, const char *path);
