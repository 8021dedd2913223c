/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

/* What sandboxd and sandbox-execd say to each other of a volume. */

#define VOLUME_ID_PREFIX "vol"
#define VOLUME_PATH_MAX 1024U

/* Absolute, without empty components, "." and "..", and not where a sandbox's own file systems are. Both ends look: sandboxd
 * to tell the client, execd because it mounts. */
bool volume_path_is_valid(const char *path);

/* How it is mounted, for AttachVolume(). */
typedef struct VolumeSpec {
        uint64_t bytes, inodes; /* 0: no bound */
        bool read_only;
} VolumeSpec;

extern const BusField volume_spec_fields[];
extern const size_t n_volume_spec_fields;
