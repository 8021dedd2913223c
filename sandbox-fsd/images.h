/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/hashmap.h"
#include "libsandbox/init-protocol.h"
#include "libsandbox/service.h"
#include "sandbox-fsd/catalog.h"
#include "sandbox-fsd/host-key.h"
#include "sandbox-fsd/store.h"

/* Layers and writable directories. What takes time is done by helpers; whoever asks for a layer that is being made
 * waits for it together with all others who do. */
typedef struct Images {
        Service *service;
        const char *program; /* for helpers */
        Store store;
        Catalog catalog;
        Hashmap *jobs;   /* LayerJob by key */
        Hashmap *removals; /* Removal by name */
        HostKeys host_keys;
        bool collect_due; /* since the last look for layers that are not needed something has changed */
} Images;

typedef struct ImagesOptions {
        Service *service;
        const char *program;
        const char *store_directory;
        const char *const *catalog_directories;
} ImagesOptions;

int images_init(Images *i, const ImagesOptions *options);
void images_done(Images *i);

typedef struct RootOptions {
        char *writable; /* "disk" or "tmpfs"; NULL: disk where quotas work */
        uint64_t writable_bytes, writable_inodes;
        char *from;     /* a sandbox: the layer that it has, whatever the image leads to now */
        char *snapshot; /* the layer that it has, and it over that */
        char *share;    /* what the sandbox wrote becomes that snapshot: the root that it shall have then */
} RootOptions;

/* The mounts of a root. */
typedef struct ImageMount {
        int fd;
        const char *target;
        uint32_t id_origin;
} ImageMount;

#define SNAPSHOTS_STACKED_MAX (INIT_FROZEN_MAX - 1U)
#define IMAGE_MOUNTS_MAX (3U + SNAPSHOTS_STACKED_MAX)

typedef struct ImageMounts {
        ImageMount mounts[IMAGE_MOUNTS_MAX];
        size_t n;
} ImageMounts;


/* Called once, maybe before images_prepare() returns; it takes the mounts over. error is set if r < 0. */
typedef void (*PrepareHandler)(int r, ImageMounts *mounts, const sd_bus_error *error, void *userdata);

typedef struct PrepareRequest {
        const char *image, *id;
        const char *from, *snapshot, *share; /* NULL: a root of the image and nothing else */
        bool on_disk;
        PrepareHandler handler;
        void *userdata;
} PrepareRequest;

/* < 0 with error: refused at once, the handler is not called. */
int images_prepare(Images *i, const PrepareRequest *request, sd_bus_error *error);
/* -ENOENT: there is none. One that is in use goes with its last user. */
int images_remove_snapshot(Images *i, const char *snapshot);
int images_remove_root(Images *i, const char *id);
/* The root that was prepared over a snapshot has taken the place of the one before; or it has not, and never will. */
int images_settle(Images *i, const char *id);
int images_revert(Images *i, const char *id, const char *snapshot);
/* Snapshots that were deleted while somebody stood on them, and nobody does now. */
void images_remove_unwanted(Images *i);
/* Names of the link and the layer that the next create of this image would take, as far as they are there. */
int images_add_needed(Images *i, const Image *image, char ***names);
