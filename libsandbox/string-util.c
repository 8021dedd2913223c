/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/string-util.h"

#include <errno.h>
#include <stdio.h>

/* Strings and arrays of strings. All of it accepts NULL for the empty array, so that callers have one case less. */

bool endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), k = strlen(suffix);

        return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

/* On failure the old value stays. */
int free_and_strdup(char **s, const char *value) {
        char *copy = NULL;

        if (value) {
                copy = strdup(value);
                if (!copy)
                        return -ENOMEM;
        }
        free(*s);
        *s = copy;
        return 0;
}

char *strstrip(char *s) {
        size_t n;

        s += strspn(s, " \t\r\n");
        n = strlen(s);
        while (n > 0 && strchr(" \t\r\n", s[n - 1]))
                n--;
        s[n] = 0;
        return s;
}

char *path_prefix(const char *s) {
        const char *begin = s + strspn(s, "/");
        size_t n = strlen(begin);
        char *result;

        for (; n > 0 && begin[n - 1] == '/'; n--)
                ;
        return asprintf(&result, "%s%.*s", n > 0 ? "/" : "", (int) n, begin) < 0 ? NULL : result;
}

/* Length of the valid sequence at p, 0 if there is none. Surrogates, overlong forms and > U+10FFFF are invalid. */
static size_t utf8_sequence(const unsigned char *p, size_t n) {
        static const struct {
                unsigned char mask, lead;
                uint32_t minimum;
        } forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

        for (size_t k = 0; k < ELEMENTSOF(forms); k++) {
                uint32_t c;

                if ((p[0] & forms[k].mask) != forms[k].lead)
                        continue;
                if (n < k + 1)
                        return 0;
                c = p[0] & (unsigned char) ~forms[k].mask;
                for (size_t i = 1; i <= k; i++) {
                        if ((p[i] & 0xc0) != 0x80)
                                return 0;
                        c = c << 6 | (p[i] & 0x3f);
                }
                if (c < forms[k].minimum || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                        return 0;
                return k + 1;
        }
        return 0;
}

bool utf8_is_valid(const char *s, size_t n) {
        for (size_t i = 0; i < n;) {
                size_t k = utf8_sequence((const unsigned char *) s + i, n - i);

                if (k == 0)
                        return false;
                i += k;
        }
        return true;
}

/* Each byte that is no part of a sequence becomes U+FFFD, three bytes: hence the room. */
char *utf8_sanitize(const char *s, size_t n) {
        char *copy = malloc(n * 3 + 1), *p = copy;

        if (!copy)
                return NULL;
        for (size_t i = 0; i < n;) {
                size_t k = utf8_sequence((const unsigned char *) s + i, n - i);

                if (k == 0) {
                        p = mempcpy(p, "\xef\xbf\xbd", 3);
                        i++;
                } else {
                        p = mempcpy(p, s + i, k);
                        i += k;
                }
        }
        *p = 0;
        return copy;
}

size_t strv_length(char *const *v) {
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

char **strv_free(char **v) {
        for (char **s = v; s && *s; s++)
                free(*s);
        free(v);
        return NULL;
}

int strv_consume(char ***v, char *value) {
        size_t n = strv_length(*v);
        char **larger;

        larger = reallocarray(*v, n + 2, sizeof(char *));
        if (!larger) {
                free(value);
                return -ENOMEM;
        }
        larger[n] = value;
        larger[n + 1] = NULL;
        *v = larger;
        return 0;
}

int strv_extend(char ***v, const char *value) {
        char *copy = strdup(value);

        return copy ? strv_consume(v, copy) : -ENOMEM;
}

char **strv_copy(char *const *v) {
        size_t n = strv_length(v);
        char **copy = new0(char *, n + 1);

        for (size_t i = 0; copy && i < n; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return strv_free(copy);
        }
        return copy;
}

bool strv_contains(char *const *v, const char *value) {
        STRV_FOREACH(s, v)
                if (streq(*s, value))
                        return true;
        return false;
}

static size_t env_find(char *const *env, const char *name) {
        size_t n = strlen(name), i = 0;

        for (; env && env[i]; i++)
                if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
                        break;
        return i;
}

const char *strv_env_get(char *const *env, const char *name) {
        size_t i = env_find(env, name);

        return env && env[i] ? env[i] + strlen(name) + 1 : NULL;
}

int strv_env_set(char ***env, const char *name, const char *value) {
        size_t i = env_find(*env, name);
        char *entry;

        if (asprintf(&entry, "%s=%s", name, value) < 0)
                return -ENOMEM;
        if (*env && (*env)[i]) {
                free((*env)[i]);
                (*env)[i] = entry;
                return 0;
        }
        return strv_consume(env, entry);
}

int strv_env_unset(char **env, const char *name) {
        size_t i = env_find(env, name);

        if (!env || !env[i])
                return 0;
        free(env[i]);
        for (; env[i]; i++)
                env[i] = env[i + 1];
        return 1;
}

bool env_name_is_valid(const char *name) {
        static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

        if (isempty(name) || !strchr(first, name[0]))
                return false;
        return name[1 + strspn(name + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] == 0;
}
