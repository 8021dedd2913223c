/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/peer.h"

/* io.sandboxd.Images1, Volumes1 and Files1 as functions. All answers come later, by the callback. */

typedef struct FsdClient FsdClient;

int fsd_client_new(sd_event *event, const char *path, FsdClient **ret);
FsdClient *fsd_client_free(FsdClient *c);
DEFINE_CLEANUP(FsdClient *, fsd_client_free)

typedef struct RootOptions {
        char *writable;                 /* NULL: what the machine can do best */
        uint64_t bytes, inodes;         /* 0: the default */
        char *from;                     /* a sandbox whose layers it shall have, or NULL */
        char *snapshot;                 /* that it shall stand on, or NULL */
        char *share;                    /* that what it wrote becomes, or NULL */
} RootOptions;

int fsd_prepare_root(FsdClient *c, const char *image, const char *id, const RootOptions *options,
                     PeerCallback callback, void *userdata);
int fsd_remove_root(FsdClient *c, const char *id, PeerCallback callback, void *userdata);
int fsd_ping(FsdClient *c, PeerCallback callback, void *userdata);
int fsd_list_roots(FsdClient *c, PeerCallback callback, void *userdata);
int fsd_list_images(FsdClient *c, PeerCallback callback, void *userdata);

/* Snapshots1: with a snapshot, or a sandbox, or none (List, Usage). */
int fsd_snapshots(FsdClient *c, const char *member, const char *id, PeerCallback callback, void *userdata);
int fsd_make_snapshot(FsdClient *c, const char *snapshot, const char *sandbox, PeerCallback callback, void *userdata);
/* BeginShare, EndShare, Revert. */
int fsd_share(FsdClient *c, const char *member, const char *snapshot, const char *sandbox, PeerCallback callback,
              void *userdata);
int fsd_publish(FsdClient *c, const char *snapshot, uint64_t bytes, PeerCallback callback, void *userdata);
/* bytes 0: it is not going to be mounted, or has no bound. */
int fsd_open_volume(FsdClient *c, const char *id, uint64_t bytes, PeerCallback callback, void *userdata);
int fsd_remove_volume(FsdClient *c, const char *id, PeerCallback callback, void *userdata);

/* A call of Files1 with its first argument; the caller appends the others and sends it. */
int fsd_files_message(FsdClient *c, const char *id, const char *member, sd_bus_message **ret);
int fsd_send(FsdClient *c, sd_bus_message *m, PeerFlags flags, PeerCallback callback, void *userdata);
