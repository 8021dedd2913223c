/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* What an image of images.d stands for. sandbox-fsd makes roots of it, and sandbox-execd sees for itself which trees of
 * the host an operator has listed. */

typedef enum ImageKind {
        IMAGE_HOST,        /* /usr of the host, or of the tree around path */
        IMAGE_DIR,         /* a directory with a root file system */
        IMAGE_TAR,         /* a tar of one */
        IMAGE_UNSUPPORTED, /* a source of which this version knows nothing */
        _IMAGE_KIND_MAX,
} ImageKind;

#define IMAGE_HOST_USR "/usr" /* of IMAGE_HOST without a path */

/* images.d from the vendor's to the operator's, NULL-terminated. */
extern const char *const image_directories[];

/* Kind and path of a source. -EINVAL: not even the form of one. */
int image_source_parse(const char *source, ImageKind *ret_kind, const char **ret_path);
const char *image_kind_to_string(ImageKind kind);
