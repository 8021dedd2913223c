/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <string.h>

#include "libsandbox/macro.h"

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}
static inline bool isempty(const char *s) {
        return !s || !*s;
}
/* The rest of s behind prefix, or NULL. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}
bool endswith(const char *s, const char *suffix);

/* Replaces *s by a copy of value (NULL allowed). On -ENOMEM the old value stays. */
int free_and_strdup(char **s, const char *value);

/* Trims white space at both ends, in place. */
char *strstrip(char *s);

/* What stands before all paths of the API: "/a/b" of "a/b", "/a/b/" and so on, "" of "" and "/". */
char *path_prefix(const char *s);

bool utf8_is_valid(const char *s, size_t n);
/* A copy in which each invalid sequence is U+FFFD: names and output of a sandbox on their way into a string. */
char *utf8_sanitize(const char *s, size_t n);

/* NULL-terminated string arrays. All accept NULL as the empty array. */
size_t strv_length(char *const *v);
char **strv_free(char **v);
char **strv_copy(char *const *v);
int strv_extend(char ***v, const char *value);
/* Takes the string over, frees it on failure. */
int strv_consume(char ***v, char *value);
bool strv_contains(char *const *v, const char *value);

DEFINE_CLEANUP(char **, strv_free)
#define _cleanup_strv_free_ _cleanup_(strv_freep)

/* "KEY=VALUE" lists. */
const char *strv_env_get(char *const *env, const char *name);
int strv_env_set(char ***env, const char *name, const char *value);
int strv_env_unset(char **env, const char *name);
/* [A-Za-z_][A-Za-z0-9_]* */
bool env_name_is_valid(const char *name);

#define STRV_FOREACH(s, v) for (char *const *s = (v); s && *s; s++)
