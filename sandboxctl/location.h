/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* A word of cp: "ID:PATH" is in a sandbox, "-" is standard input or output, all else is a local path. A local path
 * with a colon before its first slash is written "./a:b". */
typedef struct Location {
        char *sandbox;           /* NULL: local; id or name as given */
        const char *path;        /* points into the word */
        bool standard;           /* "-" */
} Location;

/* "ID:" is the sandbox's workspace. -EINVAL: empty. */
int location_parse(const char *word, Location *ret);
void location_done(Location *l);
/* The last part of a path without its trailing slashes; NULL when it has none that can be a file's name. */
char *path_name(const char *path);
/* "directory/name" */
char *path_join(const char *directory, const char *name);
/* One part of a path, as a sandbox may name it: not empty, no slash, not "." or "..". */
bool path_name_is_safe(const char *name);
