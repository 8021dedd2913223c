/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/path-rule.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"

/* Text only: no file is looked at. The rule keeps the JSON routes inside the workspace, which is what their clients
 * expect; that no path leaves the sandbox is not up to this file but to openat2() below the sandbox's root. */

#define COMPONENT_MAX 255U

static int refuse_traversal(const char *path, sd_bus_error *error) {
        _cleanup_free_ char *shown = utf8_sanitize(path, strnlen(path, 256));

        return bus_error_set(error, BUS_ERROR_PATH_REFUSED, "Path traversal detected: %s", shown ?: "");
}

/* Joins, drops "." and doubled slashes. has_parent says that a component is "..". */
static int normalize(const char *base, const char *path, char **ret, bool *ret_has_parent) {
        size_t size = strlen(base) + strlen(path) + 3;
        const char *parts[] = { path[0] == '/' ? "" : base, path };
        char *buffer = new0(char, size), *p = buffer;

        if (!buffer)
                return -ENOMEM;
        *ret_has_parent = false;
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                for (const char *s = parts[i]; *s;) {
                        size_t n = strcspn(s, "/");

                        if (n > COMPONENT_MAX) {
                                free(buffer);
                                return -ENAMETOOLONG;
                        }
                        *ret_has_parent |= n == 2 && s[0] == '.' && s[1] == '.';
                        if (n > 0 && !(n == 1 && s[0] == '.')) {
                                *p++ = '/';
                                p = mempcpy(p, s, n);
                        }
                        s += n;
                        s += strspn(s, "/");
                }
        if (p == buffer)
                *p++ = '/';
        *p = 0;
        *ret = buffer;
        return 0;
}

static int resolve(const char *base, const char *path, char **ret, bool *ret_has_parent, sd_bus_error *error) {
        int r;

        if (isempty(path))
                return bus_error_set(error, BUS_ERROR_INVALID, "path is required");
        if (strlen(path) > SANDBOX_PATH_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "path is too long");
        r = normalize(base, path, ret, ret_has_parent);
        if (r == -ENAMETOOLONG)
                return bus_error_set(error, BUS_ERROR_INVALID, "path has a component that is too long");
        return r;
}

static bool path_is_below(const char *path, const char *directory) {
        const char *rest = startswith(path, streq(directory, "/") ? "" : directory);

        return rest && (*rest == '/' || *rest == 0);
}

int path_in_workspace(const char *workspace, const char *path, char **ret, sd_bus_error *error) {
        _cleanup_free_ char *root = NULL, *result = NULL;
        bool has_parent;
        int r;

        assert(workspace);
        assert(ret);

        r = normalize("/", workspace, &root, &has_parent);
        if (r < 0)
                return r;
        r = resolve(root, path, &result, &has_parent, error);
        if (r < 0)
                return r;
        if (has_parent || !path_is_below(result, root))
                return refuse_traversal(path, error);
        *ret = TAKE_PTR(result);
        return 0;
}

int path_anywhere(const char *directory, const char *path, char **ret, sd_bus_error *error) {
        bool has_parent;

        assert(directory);
        assert(ret);

        /* ".." in the result is for the sandbox's own kernel view to resolve: links may stand before it. */
        return resolve(directory, path, ret, &has_parent, error);
}
