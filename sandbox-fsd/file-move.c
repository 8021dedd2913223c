/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"
#include "sandbox-fsd/tree-remove.h"

/* rename() where it does; a copy and a removal across mounts, as mv(1). The copy appears under its name when it is
 * whole and the original goes only then: an interruption leaves both, never neither. */

static int set_metadata(const FileCopy *c, const struct stat *st) {
        const struct timespec times[] = { st->st_atim, st->st_mtim };

        /* A user other than root cannot give files away: they become the user's, as with mv. */
        if (fchownat(c->to_fd, c->to, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM)
                return -errno;
        if (!S_ISLNK(st->st_mode) && fchmodat(c->to_fd, c->to, st->st_mode & 07777, 0) < 0)
                return -errno;
        return utimensat(c->to_fd, c->to, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_file(const FileCopy *c, const struct stat *st) {
        _cleanup_close_ int from_fd = -EBADF, to_fd = -EBADF;

        from_fd = file_open_child(c->from_fd, c->from, O_RDONLY);
        if (from_fd < 0)
                return from_fd;
        to_fd = openat(c->to_fd, c->to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (to_fd < 0)
                return -errno;
        if (st->st_size < 0)
                return -EFBIG;
        return file_copy_bytes(from_fd, to_fd, (uint64_t) st->st_size);
}

static int copy_link(const FileCopy *c) {
        char target[FILE_PATH_MAX + 1];
        ssize_t n;

        n = readlinkat(c->from_fd, c->from, target, sizeof target);
        if (n < 0)
                return -errno;
        if ((size_t) n >= sizeof target)
                return -ENAMETOOLONG;
        target[n] = 0;
        return symlinkat(target, c->to_fd, c->to) < 0 ? -errno : 0;
}

static int copy_children(DIR *dir, const FileCopy *parent) {
        const struct dirent *entry;
        int r;

        for (;;) {
                FileCopy child = *parent;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                child.from = child.to = entry->d_name;
                child.depth++;
                r = file_copy_at(&child);
                if (r < 0)
                        return r;
        }
}

static int copy_directory(const FileCopy *c) {
        _cleanup_close_ int from_fd = -EBADF, to_fd = -EBADF;
        _cleanup_closedir_ DIR *dir = NULL;

        if (c->depth >= FILE_DEPTH_MAX)
                return -ELOOP;
        from_fd = file_open_child(c->from_fd, c->from, O_RDONLY | O_DIRECTORY);
        if (from_fd < 0)
                return from_fd == -EXDEV ? -EBUSY : from_fd;
        if (mkdirat(c->to_fd, c->to, 0700) < 0)
                return -errno;
        to_fd = file_open_child(c->to_fd, c->to, O_RDONLY | O_DIRECTORY);
        if (to_fd < 0)
                return to_fd;
        dir = fdopendir(from_fd);
        if (!dir)
                return -errno;
        from_fd = -EBADF;

        return copy_children(dir, &(FileCopy) {
                .from_fd = dirfd(dir), .to_fd = to_fd, .depth = c->depth, .until_usec = c->until_usec,
        });
}

int file_copy_at(const FileCopy *c) {
        struct stat st;
        int r;

        if (now_usec(CLOCK_BOOTTIME) > c->until_usec)
                return -ETIMEDOUT;
        if (fstatat(c->from_fd, c->from, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;

        if (S_ISREG(st.st_mode))
                r = copy_file(c, &st);
        else if (S_ISDIR(st.st_mode))
                r = copy_directory(c);
        else if (S_ISLNK(st.st_mode))
                r = copy_link(c);
        else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
                r = mknodat(c->to_fd, c->to, st.st_mode, 0) < 0 ? -errno : 0;
        else
                r = -EPERM;
        return r < 0 ? r : set_metadata(c, &st);
}

/* The copy gets its name when it is whole, and only then the original goes. */
static int move_by_copy(const FileCopy *c) {
        char temporary[32];
        FileCopy copy = *c;
        int r;

        r = file_temporary_name(temporary);
        if (r < 0)
                return r;
        copy.to = temporary;
        r = file_copy_at(&copy);
        if (r >= 0 && renameat(c->to_fd, temporary, c->to_fd, c->to) < 0)
                r = -errno;
        if (r < 0) {
                (void) tree_remove_at(c->to_fd, temporary, usec_add(c->until_usec, FILE_WALK_USEC));
                return r;
        }
        return tree_remove_at(c->from_fd, c->from, usec_add(c->until_usec, FILE_WALK_USEC));
}

/* The parent and name to move to: those of the path, or below it if it is a directory. */
static int open_destination(const FileRoot *root, const char *to, const char *from_name, int *ret_fd, char **ret_name) {
        int fd;

        fd = file_open(root, to, O_PATH | O_DIRECTORY);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return file_open_parent(root, to, ret_fd, ret_name);
        if (fd < 0)
                return fd;
        *ret_name = strdup(from_name);
        if (!*ret_name) {
                safe_close(fd);
                return -ENOMEM;
        }
        *ret_fd = fd;
        return 0;
}

int file_move(const FileRoot *root, const char *from, const char *to, uint64_t until_usec) {
        _cleanup_free_ char *from_name = NULL, *to_name = NULL;
        _cleanup_close_ int from_fd = -EBADF, to_fd = -EBADF;
        struct stat st;
        int r;

        r = file_open_parent(root, from, &from_fd, &from_name);
        if (r >= 0)
                r = file_check_entry(from_fd, from_name, &st);
        if (r >= 0)
                r = file_path_check(to);
        if (r >= 0)
                r = open_destination(root, to, from_name, &to_fd, &to_name);
        if (r < 0)
                return r;

        if (renameat(from_fd, from_name, to_fd, to_name) >= 0)
                return 0;
        if (errno != EXDEV)
                return -errno;
        return move_by_copy(&(FileCopy) {
                .from_fd = from_fd, .from = from_name, .to_fd = to_fd, .to = to_name, .until_usec = until_usec,
        });
}
