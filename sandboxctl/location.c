/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/location.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/string-util.h"

/* The same rule as scp's: a colon before the first slash is a sandbox. Names that come from a sandbox pass
 * path_name_is_safe() before they become a part of a local path, whatever else is thought about them. */

int location_parse(const char *word, Location *ret) {
        size_t n = strcspn(word, ":/");

        if (isempty(word))
                return -EINVAL;
        *ret = (Location) { .path = word, .standard = streq(word, "-") };
        if (word[n] != ':' || n == 0)
                return 0;
        ret->sandbox = strndup(word, n);
        ret->path = word[n + 1] ? word + n + 1 : "./";
        return ret->sandbox ? 0 : -ENOMEM;
}

void location_done(Location *l) {
        l->sandbox = mfree(l->sandbox);
}

bool path_name_is_safe(const char *name) {
        return !isempty(name) && !strchr(name, '/') && !streq(name, ".") && !streq(name, "..");
}

/* Not basename(): ".." and "/" have no name that a file could get. */
char *path_name(const char *path) {
        size_t end = strlen(path), begin;
        char *name;

        while (end > 0 && path[end - 1] == '/')
                end--;
        for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
                ;
        name = strndup(path + begin, end - begin);
        return name && path_name_is_safe(name) ? name : mfree(name);
}

char *path_join(const char *directory, const char *name) {
        char *path;

        if (asprintf(&path, "%s%s%s", directory, endswith(directory, "/") ? "" : "/", name) < 0)
                return NULL;
        return path;
}
