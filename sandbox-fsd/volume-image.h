/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-fsd/images.h"

/* A volume as an ext4 in a sparse file: on a store that has no project quotas and is no tmpfs this is what makes its size
 * a bound. systemd mounts it; it is formatted here by e2fsprogs, which need no right for that. */

/* error: 0 or a negative errno; text says more. */
typedef void (*ImageHandler)(int error, const char *text, void *userdata);

bool volume_image_is_needed(const Store *s);
/* > 0: it is there already. 0: handler will be called, once. volume_fd is borrowed. */
int volume_image_make(Images *i, int volume_fd, uint64_t bytes, ImageHandler handler, void *userdata);

/* The helper's part. */
int volume_image_format(int fd, char *text, size_t size);
