/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "sandbox-execd/sandbox.h"

/* The mount of a volume in a sandbox that lives: made, and taken away, by a process that is root of the sandbox and in its
 * mount namespace, so that every path is the sandbox's own. What is mounted where is asked of the kernel and remembered
 * nowhere, so both may be repeated. */

#define VOLUME_PATH_MAX 1024U

typedef struct VolumeMount {
        const char *path;
        int data_fd;    /* the volume's root directory, in our mount namespace */
        bool read_only;
} VolumeMount;

/* Absolute, without empty components, "." and "..", and not where the sandbox's own file systems are. */
bool volume_path_is_valid(const char *path);

/* Directories on the way are made. -ELOOP, -ENOTDIR: there is a link, or something else that is none; -EBUSY: something
 * else is mounted there. */
int volume_mount(Sandbox *s, const VolumeMount *mount);
/* -EBUSY: in use. What is not mounted is no error. */
int volume_unmount(Sandbox *s, const VolumeMount *mount);
