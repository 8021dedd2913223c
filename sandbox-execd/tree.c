/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/conf-parser.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* The descriptors of mounts are sandbox-fsd's, but they come by way of sandboxd. Whoever has taken that over could pass
 * any directory that it can name, for O_PATH wants no right on it: in a tree that is shown by its own ids, root of the
 * sandbox reads whatever root of the host owns. So what an operator allows is read here once more, from files that only
 * root can write. */

void trees_done(Trees *t) {
        t->paths = strv_free(t->paths);
        t->loaded = false;
}

static int add_source(const ConfLine *line, void *userdata) {
        Trees *t = userdata;
        const char *path;
        ImageKind kind;

        if (!streq_ptr(line->section, "Image") || !streq(line->key, "Source") ||
            image_source_parse(line->value, &kind, &path) < 0 || (kind != IMAGE_HOST && kind != IMAGE_DIR))
                return 0; /* what is wrong with it sandbox-fsd says */
        path = path ?: IMAGE_HOST_USR;
        STRV_FOREACH(p, t->paths)
                if (streq(*p, path))
                        return 0;
        return strv_extend(&t->paths, path);
}

static int refresh(Trees *t) {
        uint64_t stamp = conf_directories_stamp(t->directories);
        int r;

        if (t->loaded && stamp == t->stamp)
                return 0;
        trees_done(t);
        r = conf_parse_directories(t->directories, add_source, t);
        if (r < 0)
                return r;
        t->stamp = stamp;
        t->loaded = true;
        return 0;
}

static bool is_same(const struct stat *st, const char *path) {
        struct stat other;

        return stat(path, &other) >= 0 && S_ISDIR(other.st_mode) && other.st_dev == st->st_dev &&
               other.st_ino == st->st_ino;
}

static int check_listed(Trees *t, int fd) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        r = refresh(t);
        if (r < 0)
                return r;
        STRV_FOREACH(path, t->paths)
                if (is_same(&st, *path))
                        return 0;
        return -EPERM;
}

/* Of a mount that has gone with the service that opened it, the kernel only says what is below it. To open that fails, and
 * the creation is tried again. */
static bool is_below(const char *store, const char *path, int fd) {
        _cleanup_free_ char *whole = NULL;
        struct stat st;

        return asprintf(&whole, "%s%s", store, path) >= 0 && fstat(fd, &st) >= 0 && is_same(&st, whole);
}

/* That the name is the directory's is seen when it is opened again by it (layer.c). */
int trees_check_store(const Trees *t, int fd) {
        char link[64], path[PATH_MAX];
        _cleanup_free_ char *store = NULL;
        const char *rest;
        ssize_t n;

        store = realpath(t->store, NULL);
        if (!store)
                return -errno;
        snprintf(link, sizeof link, "/proc/self/fd/%i", fd);
        n = readlink(link, path, sizeof path - 1);
        if (n < 0)
                return -errno;
        path[n] = 0;
        rest = startswith(path, store);
        return (rest && *rest == '/') || is_below(store, path, fd) ? 0 : -EPERM;
}

int trees_check_entry(const Trees *t, int fd, const char *path) {
        _cleanup_free_ char *whole = NULL;
        struct stat st;

        if (asprintf(&whole, "%s/%s", t->store, path) < 0)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        return is_same(&st, whole) ? 0 : -EPERM;
}

int trees_check_layer(Trees *t, const Layer *layer) {
        if (layer->origin != 0)
                return trees_check_store(t, layer->fd);
        return layer->kind == LAYER_LOWER || layer->kind == LAYER_USR ? check_listed(t, layer->fd) : -EPERM;
}
