/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Volumes: directories with a size that outlive sandboxes and are mounted into one at a time while it runs. A row of the
 * store each; its tag says what is being done, so that whatever is interrupted is brought to an end by the next start.
 * No HTTP. */

#define VOLUME_KIND "volume"
#define VOLUME_NAME_MAX 1024U
#define VOLUME_PATH_MAX 1024U
#define VOLUME_BYTES_MIN (UINT64_C(1) << 20)
#define VOLUME_BYTES_MAX (UINT64_C(1) << 50)

typedef enum VolumeState {
        VOLUME_DETACHED,
        VOLUME_ATTACHING,       /* or it is not known whether it is attached: counts as attached */
        VOLUME_ATTACHED,
        VOLUME_DETACHING,
        VOLUME_REMOVING,
        _VOLUME_STATE_MAX,
        _VOLUME_STATE_INVALID = -22,
} VolumeState;

typedef struct Volume {
        char id[40];
        VolumeState state;
        char *name;
        char *sandbox, *path;   /* public id; NULL: not attached */
        bool read_only;
        uint64_t bytes;         /* 0: no bound */
        uint64_t created_msec;
} Volume;

void volume_done(Volume *v);
/* As clients see it, and as it is stored. */
json_t *volume_to_json(const Volume *v);
/* -EBADMSG: the row is none of ours. */
int volume_from_row(const StoredObject *row, Volume *ret);

typedef struct Volumes Volumes;

int volumes_new(Manager *m, Volumes **ret);
Volumes *volumes_free(Volumes *vs);
/* The records of sandboxes are what is true now: goes on with what was interrupted. */
void volumes_start(Volumes *vs);
/* What was attached to it is free. */
void volumes_forget_sandbox(Volumes *vs, const Sandbox *s);

/* -E2BIG: there are as many as may be. */
int volume_add(Volumes *vs, const char *name, uint64_t bytes, Volume *ret);
int volume_get(Volumes *vs, const char *id, Volume *ret, sd_bus_error *error);
int volume_list(Volumes *vs, json_t **ret);
/* Of the text of a client; where the sandbox's own file systems are nothing is mounted. */
bool volume_path_is_valid(const char *path);

typedef struct VolumeAttachment {
        const char *path;
        bool read_only;
} VolumeAttachment;

/* 0: nothing is to be done. 1: callback will be called, with the answer of a service or its error. < 0 with error: refused. */
int volume_attach(Volumes *vs, const char *id, Sandbox *s, const VolumeAttachment *where, PeerCallback callback,
                  void *userdata, sd_bus_error *error);
int volume_detach(Volumes *vs, const char *id, PeerCallback callback, void *userdata, sd_bus_error *error);
int volume_remove(Volumes *vs, const char *id, PeerCallback callback, void *userdata, sd_bus_error *error);
/* reply: what VolumeUsage() says. */
int volume_ask_usage(Volumes *vs, const char *id, PeerCallback callback, void *userdata, sd_bus_error *error);
