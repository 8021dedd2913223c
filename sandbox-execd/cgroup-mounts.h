/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Where the cgroup trees are. On a unified system controllers are in the cgroup2 tree; on a hybrid one systemd sets the
 * limits in v1 trees and statistics must be read from there. */
typedef enum CgroupV1 {
        CGROUP_V1_CPU,
        CGROUP_V1_MEMORY,
        CGROUP_V1_PIDS,
        CGROUP_V1_BLKIO,
        _CGROUP_V1_MAX,
} CgroupV1;

typedef struct CgroupMounts {
        int root_fd;                /* the cgroup2 tree */
        int v1_fds[_CGROUP_V1_MAX]; /* negative: not mounted */
} CgroupMounts;

#define CGROUP_MOUNTS_NULL ((CgroupMounts) { -EBADF, { -EBADF, -EBADF, -EBADF, -EBADF } })

int cgroup_mounts_find(CgroupMounts *ret);
/* The same from a text in the form of /proc/self/mountinfo: mount points only. Entries of ret are malloc'ed or NULL. */
int cgroup_mounts_parse(const char *mountinfo, char *ret_v1[_CGROUP_V1_MAX]);
void cgroup_mounts_done(CgroupMounts *m);

/* The cgroup2 tree alone, without a mount table: sandbox-due needs no more. An O_PATH descriptor. */
int cgroup2_root_open(void);
