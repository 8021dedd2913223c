/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/tree-remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"
#include "sandbox-fsd/file-path.h"

/* No recursion and no paths: a sandbox can nest directories deeper than our stack and longer than any path, and can
 * swap one for a link while we look. Each step is by descriptor, and on the way up it is checked that ".." is the
 * directory that we came from. */

/* Levels whose directory stays open. Further down a parent is closed and found again as "..". */
#define OPEN_LEVELS 48U
/* More than a path can name; bounds our memory. Whoever goes on to nest must not have his tree stay for ever,
 * so what is deeper is moved to the top, and is found there when the rest is gone. */
#define LEVELS_MAX 4096U

typedef struct Level {
        DIR *dir; /* NULL while closed */
        char *name; /* in the level above; NULL at the top */
        dev_t device;
        ino_t inode;
} Level;

typedef struct Walk {
        Level *levels;
        size_t n_levels, n_allocated;
        bool moved; /* something came to the top */
} Walk;

static void walk_pop(Walk *w) {
        Level *l = &w->levels[--w->n_levels];

        if (l->dir)
                closedir(l->dir);
        free(l->name);
}

static void walk_done(Walk *w) {
        while (w->n_levels > 0)
                walk_pop(w);
        free(w->levels);
}

static int walk_reserve(Walk *w) {
        size_t n = MAX(w->n_allocated * 2, (size_t) 16);
        Level *levels;

        if (w->n_levels < w->n_allocated)
                return 0;
        levels = reallocarray(w->levels, n, sizeof(Level));
        if (!levels)
                return -ENOMEM;
        w->levels = levels;
        w->n_allocated = n;
        return 0;
}

static int walk_push(Walk *w, int directory_fd, const char *name) {
        _cleanup_close_ int fd = directory_fd;
        _cleanup_free_ char *copy = NULL;
        struct stat st;
        DIR *dir;
        int r;

        r = walk_reserve(w);
        if (r < 0)
                return r;
        copy = name ? strdup(name) : NULL;
        if (name && !copy)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        fd = -EBADF;

        w->levels[w->n_levels++] = (Level) {
                .dir = dir, .name = TAKE_PTR(copy), .device = st.st_dev, .inode = st.st_ino,
        };
        return 0;
}

/* The top one is never closed. */
static int walk_lift(Walk *w, const char *name) {
        char fresh[32];
        int r;

        r = file_temporary_name(fresh);
        if (r < 0)
                return r;
        if (renameat2(dirfd(w->levels[w->n_levels - 1].dir), name, dirfd(w->levels[0].dir), fresh, RENAME_NOREPLACE) < 0)
                return -errno;
        w->moved = true;
        return 0;
}

/* Descriptors are counted, so the ones far above are closed again; they are found by ".." when it is their turn. */
static int walk_descend(Walk *w, const char *name) {
        Level *l = &w->levels[w->n_levels - 1];
        int fd, r;

        fd = file_open_child(dirfd(l->dir), name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd == -EXDEV ? -EBUSY : fd;
        r = walk_push(w, fd, name);
        if (r < 0)
                return r;

        if (w->n_levels > OPEN_LEVELS) {
                l = &w->levels[w->n_levels - 2];
                closedir(l->dir);
                l->dir = NULL;
        }
        return 0;
}

/* Whoever renames directories meanwhile may have moved the child: ".." counts only if it is what it was. */
static int reopen_parent(Level *parent, int child_fd) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(child_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != parent->device || st.st_ino != parent->inode)
                return -EAGAIN;
        parent->dir = fdopendir(fd);
        if (!parent->dir)
                return -errno;
        fd = -EBADF;
        return 0;
}

/* The level on top is empty: removes it from the one above. */
static int walk_ascend(Walk *w) {
        Level *l = &w->levels[w->n_levels - 1], *parent = l - 1;
        int r = 0;

        if (!parent->dir)
                r = reopen_parent(parent, dirfd(l->dir));
        if (r >= 0 && unlinkat(dirfd(parent->dir), l->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = -errno;
        walk_pop(w);
        return r;
}

/* 1: descended, 0: gone. */
/* The type that the directory tells saves a call for each directory; where it is wrong, unlink() says so. */
static int remove_entry(Walk *w, const struct dirent *entry) {
        int fd = dirfd(w->levels[w->n_levels - 1].dir), r;

        if (entry->d_type != DT_DIR) {
                if (unlinkat(fd, entry->d_name, 0) >= 0 || errno == ENOENT)
                        return 0;
                if (errno != EISDIR)
                        return -errno;
        }

        if (w->n_levels >= LEVELS_MAX) {
                r = walk_lift(w, entry->d_name);
                return r == -ENOENT ? 0 : r;
        }
        r = walk_descend(w, entry->d_name);
        if (r == -ENOENT)
                return 0;
        /* A directory that may not be entered can still be empty. */
        if (r == -EACCES && unlinkat(fd, entry->d_name, AT_REMOVEDIR) >= 0)
                return 0;
        return r < 0 ? r : 1;
}

static int remove_level(Walk *w, uint64_t until_usec) {
        const struct dirent *entry;
        int r;

        for (;;) {
                if (now_usec(CLOCK_BOOTTIME) > until_usec)
                        return -ETIMEDOUT;
                errno = 0;
                entry = readdir(w->levels[w->n_levels - 1].dir);
                if (!entry)
                        return -errno;
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = remove_entry(w, entry);
                if (r != 0)
                        return r;
        }
}

int tree_remove_contents(int directory_fd, uint64_t until_usec) {
        _cleanup_(walk_done) Walk w = {};
        int r;

        r = walk_push(&w, directory_fd, NULL);
        while (r >= 0) {
                r = remove_level(&w, until_usec);
                if (r == 0 && w.n_levels == 1 && !w.moved)
                        return 0;
                if (r == 0 && w.n_levels == 1) {
                        w.moved = false;
                        rewinddir(w.levels[0].dir);
                } else if (r == 0)
                        r = walk_ascend(&w);
        }
        return r;
}

int tree_remove_at(int directory_fd, const char *name, uint64_t until_usec) {
        int fd, r;

        if (unlinkat(directory_fd, name, 0) >= 0)
                return 0;
        if (errno != EISDIR)
                return -errno;

        fd = file_open_child(directory_fd, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd == -EXDEV ? -EBUSY : fd;
        r = tree_remove_contents(fd, until_usec);
        if (r < 0)
                return r;
        return unlinkat(directory_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
