/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "libsandbox/macro.h"

/* Copies what a sandbox has written: the upper layers of an overlay, topmost first, become one layer with the same
 * meaning. */
typedef struct LayerCopy {
        const int *sources;     /* directories; borrowed */
        size_t n_sources;
        int target_fd;          /* empty */
        int below_fds[2];       /* what the image has at / and at /usr; -EBADF: nothing is known of it */
        uint64_t bytes_max;     /* of space, then -EFBIG */
        uint64_t bytes, files;  /* the result */
} LayerCopy;

#define LAYER_COPY_SOURCES_MAX 10U
#define LAYER_COPY_DEPTH_MAX 1000U

/* Twice: the parts for / and for /usr are u and u2 below each source and the target. */
int layer_copy(LayerCopy *c);
