/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/http/route-prefix.h"

/* A path is split at its slashes first and decoded then, segment by segment, so that no escape can change which route
 * it means. */

#define SEGMENTS_MAX 64U

typedef struct Path {
        const char *segments[SEGMENTS_MAX]; /* as sent */
        size_t lengths[SEGMENTS_MAX];
        size_t n;
} Path;

const char *path_below_prefix(const char *path, const char *prefix) {
        const char *rest;

        prefix += *prefix == '/';
        rest = *path == '/' ? startswith(path + 1, prefix) : NULL;
        if (!rest)
                return NULL;
        if (!*prefix)
                return path;
        return *rest == '/' || *rest == 0 ? rest : NULL;
}

static int path_split(const char *text, Path *ret) {
        ret->n = 0;
        while (*text == '/') {
                size_t length = strcspn(++text, "/");

                if (ret->n == SEGMENTS_MAX)
                        return -EINVAL;
                ret->segments[ret->n] = text;
                ret->lengths[ret->n++] = length;
                text += length;
        }
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n bytes at s into ret, which has room for n + 1. */
static int decode(const char *s, size_t n, char *ret) {
        char *p = ret;

        for (size_t i = 0; i < n; i++) {
                int high, low;

                if (s[i] != '%') {
                        *p++ = s[i];
                        continue;
                }
                high = n - i > 2 ? hex_digit(s[i + 1]) : -1;
                low = n - i > 2 ? hex_digit(s[i + 2]) : -1;
                if (high < 0 || low < 0)
                        return -EINVAL;
                *p++ = (char) (high << 4 | low);
                i += 2;
        }
        *p = 0;
        return (int) (p - ret);
}

/* One segment; refuses what could be taken for more than a name. */
static int decode_segment(const char *s, size_t n, char **ret) {
        _cleanup_free_ char *text = malloc(n + 1);
        int length;

        if (!text)
                return -ENOMEM;
        length = decode(s, n, text);
        if (length < 0)
                return length;
        if (memchr(text, 0, (size_t) length) || text[strcspn(text, "/\\")] || streq(text, ".") || streq(text, "..") ||
            !utf8_is_valid(text, (size_t) length))
                return -EINVAL;
        *ret = TAKE_PTR(text);
        return 0;
}

/* All of them, also those that no route asks for: what is refused must not depend on the route. */
static int check_segments(const Path *p) {
        for (size_t i = 0; i < p->n; i++) {
                _cleanup_free_ char *text = NULL;
                int r;

                r = decode_segment(p->segments[i], p->lengths[i], &text);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* How well a pattern fits: 0 not at all, else larger with more fixed segments, and earlier ones counting more. */
static uint64_t score(const char *pattern, const Path *path) {
        uint64_t points = 1;
        size_t i = 0;

        while (*pattern == '/') {
                size_t length = strcspn(++pattern, "/");

                if (*pattern == '*')
                        return i < path->n ? points << 1 : 0;
                if (i == path->n)
                        return 0;
                if (*pattern == ':') {
                        if (path->lengths[i] == 0)
                                return 0;
                        points = points << 2 | 1;
                } else if (length == path->lengths[i] && memcmp(pattern, path->segments[i], length) == 0)
                        points = points << 2 | 2;
                else
                        return 0;
                pattern += length;
                i++;
        }
        return i == path->n ? points : 0;
}

static int add_value(RouteMatch *m, const char *name, size_t name_length, char *value) {
        char *copy;

        if (m->n_values == ROUTE_VALUES_MAX) {
                free(value);
                return -E2BIG;
        }
        copy = strndup(name, name_length);
        if (!copy) {
                free(value);
                return -ENOMEM;
        }
        m->names[m->n_values] = copy;
        m->values[m->n_values++] = value;
        return 0;
}

/* The rest of the path (check_segments() has seen it), decoded segment by segment, with its slashes. */
static int join_rest(const Path *path, size_t first, char **ret) {
        _cleanup_free_ char *text = NULL;
        char *p;
        size_t n = 1;

        for (size_t i = first; i < path->n; i++)
                n += path->lengths[i] + 1;
        p = text = malloc(n);
        if (!text)
                return -ENOMEM;
        for (size_t i = first; i < path->n; i++) {
                int length;

                if (i > first)
                        *p++ = '/';
                length = decode(path->segments[i], path->lengths[i], p);
                if (length < 0)
                        return length;
                p += length;
        }
        *p = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

static int collect_values(const char *pattern, const Path *path, RouteMatch *m) {
        int r = 0;

        for (size_t i = 0; r >= 0 && *pattern == '/'; i++) {
                size_t length = strcspn(++pattern, "/");
                char *value = NULL;

                if (*pattern == '*')
                        r = join_rest(path, i, &value);
                else if (*pattern == ':')
                        r = decode_segment(path->segments[i], path->lengths[i], &value);
                if (r >= 0 && value)
                        r = add_value(m, pattern + 1, length - 1, value);
                pattern += length;
        }
        return r;
}

static void add_allowed(RouteMatch *m, const char *method) {
        size_t n = strlen(m->allow);

        if (!strstr(m->allow, method))
                snprintf(m->allow + n, sizeof m->allow - n, "%s%s", n > 0 ? ", " : "", method);
}

/* The best route for the path; those of other methods are noted in m->allow. Among equal paths the one that names the
 * method wins. */
static const Route *find_best(const RouteTable *table, const char *method, const Path *path, RouteMatch *m) {
        const Route *best = NULL;
        uint64_t best_score = 0;

        for (size_t i = 0; i < table->n_routes; i++) {
                const Route *route = table->routes + i;
                uint64_t points = score(route->path, path);

                if (points == 0)
                        continue;
                points = points << 1 | (*route->method != '*');
                if (!streq(route->method, method) && *route->method != '*')
                        add_allowed(m, route->method);
                else if (points > best_score) {
                        best = route;
                        best_score = points;
                }
        }
        return best;
}

static int find_in_table(const RouteTable *table, const char *method, const char *rest, RouteMatch *m) {
        Path path;
        int r;

        r = path_split(rest, &path);
        if (r >= 0)
                r = check_segments(&path);
        if (r < 0)
                return r;

        m->route = find_best(table, method, &path, m);
        if (!m->route)
                return m->allow[0] ? -EOPNOTSUPP : -ENOENT;
        return collect_values(m->route->path, &path, m);
}

int route_find(const RouteTable *tables, size_t n_tables, const char *method, const char *path, RouteMatch *ret) {
        const RouteTable *first = NULL;
        RouteMatch m = {};
        Path whole;
        int r = -ENOENT;

        for (size_t i = 0; i < n_tables; i++) {
                const char *rest = path_below_prefix(path, tables[i].prefix);

                if (!rest)
                        continue;
                m.table = tables + i;
                first = first ?: m.table;
                r = find_in_table(m.table, method, rest, &m);
                if (r != -ENOENT)
                        break;
                /* the longest prefix stands first: a path below it that does not exist is of its dialect */
                m.table = first;
        }
        if (!m.table) {
                r = path_split(path, &whole);
                if (r >= 0)
                        r = check_segments(&whole);
                r = r < 0 ? r : -ENOENT;
        }
        *ret = m;
        if (r < 0) {
                route_match_done(ret);
                ret->route = NULL;
        }
        return r;
}

void route_match_done(RouteMatch *m) {
        for (size_t i = 0; i < m->n_values; i++) {
                free((char *) m->names[i]);
                free(m->values[i]);
        }
        m->n_values = 0;
}
