/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/tar-name.h"

#include <errno.h>

#include "libsandbox/string-util.h"

/* Names in archives are the oldest trick: absolute, with "..", or so long that a limit of somebody else's cuts them.
 * They are not repaired: an archive with one bad name is refused as a whole. */

#define WHITEOUT_PREFIX ".wh."
#define OPAQUE_NAME ".wh..wh..opq"

static bool component_is_good(const char *component, size_t n) {
        if (n == 0 || n > TAR_COMPONENT_MAX)
                return false;
        return !(component[0] == '.' && (n == 1 || (n == 2 && component[1] == '.')));
}

int tar_name_normalize(const char *name, char **ret) {
        unsigned n_components = 0;
        char *copy;
        size_t n;

        if (isempty(name) || name[0] == '/')
                return -EBADMSG;
        if (startswith(name, "./"))
                name += 2;
        for (n = strlen(name); n > 0 && name[n - 1] == '/'; n--)
                ;
        if (n > TAR_NAME_MAX)
                return -EBADMSG;
        if (n == 1 && name[0] == '.')
                n = 0;

        for (size_t start = 0, end; start < n; start = end + 1) {
                for (end = start; end < n && name[end] != '/'; end++)
                        ;
                if (!component_is_good(name + start, end - start) || ++n_components > TAR_COMPONENTS_MAX)
                        return -EBADMSG;
        }

        copy = strndup(name, n);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

int tar_name_whiteout(const char *component, Whiteout *ret, const char **ret_target) {
        const char *target = startswith(component, WHITEOUT_PREFIX);

        *ret_target = NULL;
        if (!target) {
                *ret = WHITEOUT_NONE;
                return 0;
        }
        if (streq(component, OPAQUE_NAME)) {
                *ret = WHITEOUT_OPAQUE;
                return 0;
        }
        if (startswith(target, WHITEOUT_PREFIX) || isempty(target) || streq(target, ".") || streq(target, ".."))
                return -EBADMSG;
        *ret = WHITEOUT_ENTRY;
        *ret_target = target;
        return 0;
}
