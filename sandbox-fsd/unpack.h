/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Unpacks a tar (plain, gzip or zstd; nothing else is read) below a directory. Written by our own calls, by descriptors
 * and without following a link. The caller is root of the range that the files shall belong to, or a test. */

typedef struct UnpackLimits {
        uint64_t entries, bytes, file_bytes;
        uint64_t ratio, ratio_from_bytes; /* unpacked to packed, once so much is unpacked */
        bool keep_owner;                  /* false: all files are the caller's */
} UnpackLimits;

extern const UnpackLimits unpack_limits;

/* text becomes the sha256 of the file as it is, in hex, and on failure the reason. -EBADMSG: not a good tar;
 * -EFBIG: over a limit. */
int unpack_tar(int tar_fd, int target_fd, const UnpackLimits *limits, char *text, size_t text_size);
