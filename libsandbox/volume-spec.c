/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/volume-spec.h"

#include <limits.h>

#include "libsandbox/string-util.h"

const BusField volume_spec_fields[] = {
        { "Bytes",    BUS_FIELD_U64,  offsetof(VolumeSpec, bytes)     },
        { "Inodes",   BUS_FIELD_U64,  offsetof(VolumeSpec, inodes)    },
        { "ReadOnly", BUS_FIELD_BOOL, offsetof(VolumeSpec, read_only) },
};
const size_t n_volume_spec_fields = ELEMENTSOF(volume_spec_fields);

static bool component_is_valid(const char *s, size_t n) {
        return n > 0 && n <= NAME_MAX && !(n == 1 && s[0] == '.') && !(n == 2 && s[0] == '.' && s[1] == '.');
}

/* No link is followed on the way, so what the text says is where it will be. */
static bool is_own(const char *path) {
        static const char *const own[] = { "/dev", "/proc", "/sys" };

        for (size_t i = 0; i < ELEMENTSOF(own); i++) {
                const char *rest = startswith(path, own[i]);

                if (rest && (*rest == 0 || *rest == '/'))
                        return true;
        }
        return false;
}

bool volume_path_is_valid(const char *path) {
        if (path[0] != '/' || strlen(path) >= VOLUME_PATH_MAX)
                return false;
        for (const char *p = path; p; p = strchr(p + 1, '/'))
                if (!component_is_valid(p + 1, strcspn(p + 1, "/")))
                        return false;
        return !is_own(path);
}
