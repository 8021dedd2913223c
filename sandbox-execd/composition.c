/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/composition.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

void composition_done(Composition *c) {
        for (size_t i = 0; i < c->n_mounts; i++)
                free(c->mounts[i]);
        c->n_mounts = 0;
}

void composition_upper_name(unsigned generation, char ret[static 16]) {
        if (generation == 0)
                strcpy(ret, "upper");
        else
                (void) snprintf(ret, 16, "%u", generation);
}

#define COMPOSITION_LINES_MAX 512U

/* The kernel writes blanks and backslashes of paths as \040. */
static void unescape(char *s) {
        char *out = s;

        for (; *s; s++)
                if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3 && s[1] <= '3') {
                        *out++ = (char) ((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else
                        *out++ = *s;
        *out = 0;
}

/* A line: id, parent, device, root, path, options, optional fields, "-", type, source, options of the file system. */
typedef struct Line {
        char *id, *parent, *path, *type, *options;
} Line;

static int split_line(char *text, Line *ret) {
        char *state = NULL, *rest = strstr(text, " - "), *device;

        if (!rest)
                return -EBADMSG;
        *rest = 0;
        rest += 3;
        ret->id = strtok_r(text, " ", &state);
        ret->parent = strtok_r(NULL, " ", &state);
        device = strtok_r(NULL, " ", &state);
        if (!device || !strtok_r(NULL, " ", &state))
                return -EBADMSG;
        ret->path = strtok_r(NULL, " ", &state);
        ret->type = strtok_r(rest, " ", &state);
        if (!ret->path || !ret->type || !strtok_r(NULL, " ", &state))
                return -EBADMSG;
        ret->options = strtok_r(NULL, " ", &state);
        unescape(ret->path);
        return ret->options ? 0 : -EBADMSG;
}

static int copy_option(const char *options, const char *key, char *ret, size_t size) {
        const char *p = strstr(options, key);
        size_t n;

        if (!p)
                return -EOPNOTSUPP;
        p += strlen(key);
        n = strcspn(p, ",");
        if (n == 0 || n >= size)
                return -EOPNOTSUPP;
        memcpy(ret, p, n);
        ret[n] = 0;
        return 0;
}

/* "upper" or a number, up to its slash. */
static int parse_upper(const char *name, unsigned *ret) {
        char digits[16];
        size_t n = strcspn(name, "/");

        if (n == strlen("upper") && startswith(name, "upper")) {
                *ret = 0;
                return 0;
        }
        if (n == 0 || n >= sizeof digits || strspn(name, "0123456789") != n)
                return -EINVAL;
        memcpy(digits, name, n);
        digits[n] = 0;
        return parse_u32(digits, ret);
}

static int take_root(Composition *c, const Line *l) {
        char upper[32];
        int r;

        if (!streq(l->type, "overlay"))
                return -EOPNOTSUPP;
        r = copy_option(l->options, "lowerdir=", c->root_lower, sizeof c->root_lower);
        if (r >= 0)
                r = copy_option(l->options, "upperdir=", upper, sizeof upper);
        if (r >= 0)
                r = parse_upper(upper, &c->generation) < 0 ? -EOPNOTSUPP : 0;
        return r;
}

static int take_mount(Composition *c, const Line *l) {
        if (streq(l->path, "/usr") && streq(l->type, "overlay"))
                return copy_option(l->options, "lowerdir=", c->usr_lower, sizeof c->usr_lower);
        if (c->n_mounts == ELEMENTSOF(c->mounts))
                return -E2BIG;
        c->mounts[c->n_mounts] = strdup(l->path);
        if (!c->mounts[c->n_mounts])
                return -ENOMEM;
        c->n_mounts++;
        return 0;
}

/* Newer kernels list mounts in the order in which they were made: those that were made ahead come before the root. */
int composition_parse(char *mountinfo, Composition *ret) {
        _cleanup_free_ Line *lines = NULL;
        const Line *root = NULL;
        Composition c = {};
        char *state = NULL;
        size_t n = 0;
        int r = 0;

        lines = new0(Line, COMPOSITION_LINES_MAX);
        if (!lines)
                return -ENOMEM;
        for (char *line = strtok_r(mountinfo, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                if (n == COMPOSITION_LINES_MAX)
                        return -E2BIG;
                r = split_line(line, lines + n);
                if (r < 0)
                        return r;
                if (streq(lines[n].path, "/"))
                        root = lines + n;
                n++;
        }
        if (!root)
                return -EOPNOTSUPP;
        r = take_root(&c, root);
        for (size_t i = 0; r >= 0 && i < n; i++)
                if (streq(lines[i].parent, root->id))
                        r = take_mount(&c, lines + i);
        if (r < 0) {
                composition_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}

int composition_next(const char **lower, Part *ret) {
        size_t n = strcspn(*lower, ":");
        Part p = { .kind = PART_LAYER };
        char *slash;

        if (n == 0 || n >= sizeof p.name)
                return 0;
        memcpy(p.name, *lower, n);
        p.name[n] = 0;
        *lower += n + ((*lower)[n] == ':');

        slash = strrchr(p.name, '/');
        if (slash && (streq(slash, "/u") || streq(slash, "/u2"))) {
                *slash = 0;
                p.kind = parse_upper(p.name, &p.generation) >= 0 ? PART_WRITTEN : PART_FROZEN;
        }
        *ret = p;
        return 1;
}
