/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/layer-copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/hashmap.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/file-path.h"

/* What counts is what the overlay shows. In each directory the topmost entry of a name hides those below; directories
 * are merged down to the first layer that has something else of that name, or says that it is opaque. A whiteout hides
 * what the image has, so it is kept. Sources do not change while we read, but their owner has made them as he liked:
 * nothing is followed, no path is used, depth is bounded, and an odd file is an error and no surprise.
 *
 * redirect_dir and metacopy are off in user namespaces, so a file is where its name is, and whole. */

#define OPAQUE_XATTR "user.overlay.opaque"
#define OVERLAY_XATTRS "user.overlay."
#define VALUE_MAX (64 * KiB)
#define BUFFER_SIZE (256 * KiB)

/* A file with several names: where its copy is, below the target. */
typedef struct Link {
        char key[64];
        char *path;
} Link;

typedef struct Walk {
        LayerCopy *copy;
        int target_root;
        Hashmap *links;
        char *buffer;
        char path[4096];       /* of the directory that we are in; too long for it: hard links become copies */
        size_t path_length;
} Walk;

/* One directory of the result, and what it is made of. */
typedef struct Level {
        int sources[LAYER_COPY_SOURCES_MAX];
        size_t n_sources;
        int target;
        int below;             /* of the image; -EBADF: it has none here */
        bool below_is_known;
        bool opaque;
} Level;

#define LEVEL_NULL ((Level) { .target = -EBADF, .below = -EBADF })

static bool is_whiteout(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int fd) {
        char value[2];

        return fgetxattr(fd, OPAQUE_XATTR, value, sizeof value) > 0 && value[0] == 'y';
}

static int open_source(int directory, const char *name, int flags) {
        int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);

        return fd < 0 ? -errno : fd;
}

/* ---- one file */

static int write_all(int fd, const char *p, size_t n, off_t at) {
        while (n > 0) {
                ssize_t k = pwrite(fd, p, n, at);

                if (k < 0)
                        return -errno;
                p += k;
                at += k;
                n -= (size_t) k;
        }
        return 0;
}

static int copy_range(Walk *w, int from, int to, off_t at, off_t end) {
        while (at < end) {
                ssize_t n = pread(from, w->buffer, MIN((size_t) (end - at), (size_t) BUFFER_SIZE), at);
                int r;

                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                r = write_all(to, w->buffer, (size_t) n, at);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

/* Only what is there: a hole stays a hole. */
static int copy_contents(Walk *w, int from, int to, off_t size) {
        off_t at = 0;

        if (size == 0 || ioctl(to, FICLONE, from) >= 0)
                return 0;
        if (ftruncate(to, size) < 0)
                return -errno;
        while (at < size) {
                off_t data = lseek(from, at, SEEK_DATA), hole;
                int r;

                if (data < 0)
                        return errno == ENXIO ? 0 : -errno;
                hole = lseek(from, data, SEEK_HOLE);
                if (hole < 0)
                        return -errno;
                r = copy_range(w, from, to, data, MIN(hole, size));
                if (r < 0)
                        return r;
                at = hole;
        }
        return 0;
}

/* Those of the overlay belong to the layer that they are in. An attribute that cannot be kept is not worth the whole. */
static int copy_xattrs(int from, int to) {
        _cleanup_free_ char *names = NULL, *value = NULL;
        ssize_t n = flistxattr(from, NULL, 0);

        if (n <= 0)
                return 0;
        names = malloc((size_t) n);
        value = malloc(VALUE_MAX);
        if (!names || !value)
                return -ENOMEM;
        n = flistxattr(from, names, (size_t) n);
        for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
                ssize_t k;

                if (startswith(name, OVERLAY_XATTRS))
                        continue;
                k = fgetxattr(from, name, value, VALUE_MAX);
                if (k >= 0 && fsetxattr(to, name, value, (size_t) k, 0) < 0 && (errno == ENOSPC || errno == EDQUOT))
                        return -errno;
        }
        return 0;
}

/* The owner before the mode, since a change of it clears set-uid; the times last of all. */
static int copy_attributes(int to, const struct stat *st) {
        const struct timespec times[] = { st->st_atim, st->st_mtim };

        if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0 || futimens(to, times) < 0)
                return -errno;
        return 0;
}

static int charge(Walk *w, int fd, const char *name) {
        struct stat st;

        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW | (name[0] ? 0 : AT_EMPTY_PATH)) < 0)
                return -errno;
        w->copy->bytes += (uint64_t) st.st_blocks * 512U;
        w->copy->files++;
        return w->copy->bytes > w->copy->bytes_max ? -EFBIG : 0;
}

static int copy_regular(Walk *w, int source, const char *name, const Level *l) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        struct stat st;
        int r;

        from = open_source(source, name, 0);
        if (from < 0)
                return from;
        if (fstat(from, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        to = openat(l->target, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (to < 0)
                return -errno;
        /* Known to be too large before it is written. */
        if (w->copy->bytes + (uint64_t) st.st_blocks * 512U > w->copy->bytes_max)
                return -EFBIG;
        r = copy_contents(w, from, to, st.st_size);
        if (r >= 0)
                r = copy_xattrs(from, to);
        if (r >= 0)
                r = copy_attributes(to, &st);
        return r < 0 ? r : charge(w, to, "");
}

static int copy_link(int source, const char *name, const struct stat *st, const Level *l) {
        char target[4096];
        ssize_t n = readlinkat(source, name, target, sizeof target - 1);

        (void) st;
        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, l->target, name) < 0 ? -errno : 0;
}

/* What has no contents: links, whiteouts, named pipes, sockets. */
static int copy_node(Walk *w, int source, const char *name, const struct stat *st, const Level *l) {
        const struct timespec times[] = { st->st_atim, st->st_mtim };
        int r;

        if (S_ISLNK(st->st_mode))
                r = copy_link(source, name, st, l);
        else if (is_whiteout(st) || S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode))
                r = mknodat(l->target, name, (st->st_mode & S_IFMT) | 0600, is_whiteout(st) ? makedev(0, 0) : 0) < 0
                            ? -errno : 0;
        else
                return -EBADMSG;
        if (r < 0)
                return r;
        if (!is_whiteout(st)) {
                if (fchownat(l->target, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
                if (!S_ISLNK(st->st_mode) && fchmodat(l->target, name, st->st_mode & 07777, 0) < 0)
                        return -errno;
                if (utimensat(l->target, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
        }
        return charge(w, l->target, name);
}

/* ---- files with several names */

static int remember_link(Walk *w, const char *key, const char *name) {
        size_t n = w->path_length + strlen(name) + 1;
        Link *link;
        int r;

        if (n >= sizeof w->path)
                return 0;
        link = new0(Link, 1);
        if (!link || asprintf(&link->path, "%.*s%s", (int) w->path_length, w->path, name) < 0) {
                free(link);
                return -ENOMEM;
        }
        (void) snprintf(link->key, sizeof link->key, "%s", key);
        r = hashmap_put(w->links, link->key, link);
        if (r < 0) {
                free(link->path);
                free(link);
        }
        return r;
}

/* 1: it is a further name of what was copied already. */
static int link_again(Walk *w, const struct stat *st, const char *name, const Level *l, char key[64]) {
        const Link *link;

        key[0] = 0;
        if (st->st_nlink < 2 || is_whiteout(st))
                return 0;
        (void) snprintf(key, 64, "%llx:%llx", (unsigned long long) st->st_dev, (unsigned long long) st->st_ino);
        link = hashmap_get(w->links, key);
        if (!link)
                return 0;
        return linkat(w->target_root, link->path, l->target, name, 0) < 0 ? -errno : 1;
}

static int copy_file(Walk *w, int source, const char *name, const struct stat *st, const Level *l) {
        char key[64];
        int r;

        r = link_again(w, st, name, l, key);
        if (r != 0)
                return r < 0 ? r : 0;
        r = S_ISREG(st->st_mode) ? copy_regular(w, source, name, l) : copy_node(w, source, name, st, l);
        if (r >= 0 && key[0])
                r = remember_link(w, key, name);
        return r;
}

/* ---- directories */

static int copy_directory(Walk *w, Level *l, unsigned depth);

static void level_done(Level *l) {
        close_many(l->sources, l->n_sources);
        l->n_sources = 0;
        l->target = safe_close(l->target);
        l->below = safe_close(l->below);
}

/* All directories of that name from the first source on, as far as nothing hides them. */
static int collect(const Level *parent, size_t first, const char *name, Level *ret) {
        for (size_t i = first; i < parent->n_sources; i++) {
                struct stat st;
                int fd;

                if (fstatat(parent->sources[i], name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno == ENOENT)
                                continue;
                        return -errno;
                }
                if (!S_ISDIR(st.st_mode)) {
                        ret->opaque = true; /* it would hide what the image has of this name */
                        return 0;
                }
                fd = open_source(parent->sources[i], name, O_DIRECTORY);
                if (fd < 0)
                        return fd;
                ret->sources[ret->n_sources++] = fd;
                if (is_opaque(fd)) {
                        ret->opaque = true;
                        return 0;
                }
        }
        return 0;
}

static int descend(Walk *w, const Level *parent, size_t first, const char *name, unsigned depth) {
        _cleanup_(level_done) Level l = LEVEL_NULL;
        size_t length = w->path_length;
        int r;

        if (depth >= LAYER_COPY_DEPTH_MAX)
                return -ELOOP;
        r = collect(parent, first, name, &l);
        if (r < 0)
                return r;
        if (mkdirat(parent->target, name, 0700) < 0)
                return -errno;
        l.target = openat(parent->target, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (l.target < 0)
                return -errno;
        l.below_is_known = parent->below_is_known;
        if (parent->below >= 0 && !l.opaque)
                l.below = openat(parent->below, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (w->path_length + strlen(name) + 2 < sizeof w->path)
                w->path_length += (size_t) sprintf(w->path + w->path_length, "%s/", name);
        else
                w->path_length = sizeof w->path; /* too long for names */
        r = copy_directory(w, &l, depth + 1);
        w->path_length = length;
        return r;
}

static bool is_hidden(const Level *l, size_t source, const char *name) {
        struct stat st;

        for (size_t i = 0; i < source; i++)
                if (fstatat(l->sources[i], name, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                        return true;
        return false;
}

/* Nothing of the image has to be hidden: and in a directory that is not merged with another the overlay shows a whiteout
 * as a file. */
static bool is_needless(const Level *l, const char *name) {
        struct stat st;

        if (!l->below_is_known)
                return false;
        return l->below < 0 || fstatat(l->below, name, &st, AT_SYMLINK_NOFOLLOW) < 0;
}

static int copy_entry(Walk *w, const Level *l, size_t source, const char *name, unsigned depth) {
        struct stat st;

        if (streq(name, ".") || streq(name, "..") || is_hidden(l, source, name))
                return 0;
        if (fstatat(l->sources[source], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return descend(w, l, source, name, depth);
        if (is_whiteout(&st) && is_needless(l, name))
                return 0;
        return copy_file(w, l->sources[source], name, &st, l);
}

static int copy_entries(Walk *w, const Level *l, size_t source, unsigned depth) {
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        int r = 0;

        r = directory_open_at(l->sources[source], ".", &dir);
        if (r < 0)
                return r;
        while (r >= 0) {
                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                r = copy_entry(w, l, source, entry->d_name, depth);
        }
        return r;
}

/* The attributes are those of the topmost one, and come last: what is made in it changes its time. */
static int copy_directory(Walk *w, Level *l, unsigned depth) {
        struct stat st;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < l->n_sources; i++)
                r = copy_entries(w, l, i, depth);
        if (r < 0)
                return r;
        if (l->opaque && fsetxattr(l->target, OPAQUE_XATTR, "y", 1, 0) < 0)
                return -errno;
        if (fstat(l->sources[0], &st) < 0)
                return -errno;
        r = copy_xattrs(l->sources[0], l->target);
        if (r >= 0)
                r = copy_attributes(l->target, &st);
        return r < 0 ? r : charge(w, l->target, "");
}

static int copy_part(Walk *w, const char *name, int below_fd) {
        _cleanup_(level_done) Level l = LEVEL_NULL;

        for (size_t i = 0; i < w->copy->n_sources; i++) {
                int fd = open_source(w->copy->sources[i], name, O_DIRECTORY);

                if (fd < 0)
                        return fd;
                l.sources[l.n_sources++] = fd;
        }
        l.target = openat(w->copy->target_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (l.target < 0)
                return -errno;
        if (below_fd >= 0) {
                l.below = openat(below_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
                l.below_is_known = l.below >= 0;
        }
        w->target_root = l.target;
        w->path_length = 0;
        return copy_directory(w, &l, 0);
}

static void forget_links(Walk *w) {
        Link *link;

        if (!w->links)
                return;
        HASHMAP_FOREACH(link, w->links) {
                (void) hashmap_remove(w->links, link->key);
                free(link->path);
                free(link);
        }
        w->links = hashmap_free(w->links);
}

int layer_copy(LayerCopy *c) {
        static const char *const parts[] = { "u", "u2" };
        Walk *w = new0(Walk, 1);
        int r = 0;

        assert(c->n_sources > 0 && c->n_sources <= LAYER_COPY_SOURCES_MAX);
        if (!w)
                return -ENOMEM;
        w->copy = c;
        w->buffer = malloc(BUFFER_SIZE);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++) {
                w->links = hashmap_new();
                r = w->buffer && w->links ? copy_part(w, parts[i], c->below_fds[i]) : -ENOMEM;
                forget_links(w);
        }
        free(w->buffer);
        free(w);
        return r;
}
