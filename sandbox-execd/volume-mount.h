/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "sandbox-execd/sandbox.h"

/* The mount of a volume in a sandbox that lives: made, and taken away, by a process that is root of the sandbox and in its
 * mount namespace, so that every path is the sandbox's own. What is mounted where is asked of the kernel and remembered
 * nowhere, so both may be repeated. */

typedef struct VolumeMount {
        const char *path; /* volume_path_is_valid() */
        int data_fd;    /* the volume's root directory, in our mount namespace */
        bool read_only;
} VolumeMount;

/* Once, if 0 was returned before; the sandbox may be gone. */
typedef void (*VolumeMountHandler)(int r, void *userdata);

/* One at a time in a sandbox: -EAGAIN. Nothing that was passed is needed any more when they return.
 *
 * Directories on the way are made. -ELOOP, -ENOTDIR: there is a link, or something else that is none; -EBUSY: something
 * else is mounted there. */
int volume_mount(Sandbox *s, const VolumeMount *mount, VolumeMountHandler handler, void *userdata);
/* -EBUSY: in use. What is not mounted is no error. */
int volume_unmount(Sandbox *s, const VolumeMount *mount, VolumeMountHandler handler, void *userdata);
