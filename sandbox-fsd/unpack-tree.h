/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "sandbox-fsd/unpack.h"

/* The side of unpack_tar() that writes. Names have gone through tar_name_normalize(). */
typedef struct UnpackTree {
        int fd;
        const UnpackLimits *limits;
        uint64_t n_entries, n_bytes, n_skipped;
} UnpackTree;

int unpack_tree_add(UnpackTree *tree, struct archive *archive, struct archive_entry *entry);
