/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/image-source.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/string-util.h"

const char *const image_directories[] = {
        "/usr/lib/sandboxd/images.d",
        "/etc/sandboxd/images.d",
        "/run/sandboxd/images.d",
        NULL,
};

static const char *const kind_names[_IMAGE_KIND_MAX] = {
        [IMAGE_HOST] = "host",
        [IMAGE_DIR] = "dir",
        [IMAGE_TAR] = "tar",
        [IMAGE_UNSUPPORTED] = "unsupported",
};

const char *image_kind_to_string(ImageKind kind) {
        return kind_names[kind];
}

int image_source_parse(const char *source, ImageKind *ret_kind, const char **ret_path) {
        const char *colon = strchr(source, ':'), *path = colon ? colon + 1 : NULL;
        size_t n = colon ? (size_t) (colon - source) : strlen(source);

        if (isempty(source))
                return -EINVAL;
        for (ImageKind kind = IMAGE_HOST; kind < IMAGE_UNSUPPORTED; kind++) {
                if (strlen(kind_names[kind]) != n || strncmp(source, kind_names[kind], n) != 0)
                        continue;
                if (path ? path[0] != '/' : kind != IMAGE_HOST)
                        return -EINVAL;
                *ret_kind = kind;
                *ret_path = path;
                return 0;
        }
        *ret_kind = IMAGE_UNSUPPORTED;
        *ret_path = NULL;
        return 0;
}
