/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/file-ops.h"
#include "sandbox-fsd/mode-change.h"
#include "sandbox-fsd/tree-remove.h"

/* Changes of what is there. An entry is looked at in its parent and then worked on by that parent's descriptor and its
 * name: a directory that a process of the sandbox swaps for a link in between leads nowhere else. */

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* kernel 6.6, the same number on all of our architectures */
#endif

/* Parent and type of what is to go; 1: there, 0: nothing there. */
static int open_doomed(const FileRoot *root, const char *path, int *ret_fd, char **ret_name, struct stat *ret_st) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = file_open_parent(root, path, &fd, &name);
        if (r >= 0)
                r = file_check_entry(fd, name, ret_st);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        *ret_name = TAKE_PTR(name);
        return 1;
}

int file_delete(const FileRoot *root, const char *path) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = open_doomed(root, path, &fd, &name, &st);
        if (r <= 0)
                return r;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int file_remove_tree(const FileRoot *root, const char *path, uint64_t until_usec) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = open_doomed(root, path, &fd, &name, &st);
        if (r <= 0)
                return r;
        r = tree_remove_at(fd, name, until_usec);
        return r == -ENOENT ? 0 : r;
}

static int make_last(const FileRoot *root, const char *path) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = file_open_parent(root, path, &fd, &name);
        if (r < 0)
                return r;
        if (mkdirat(fd, name, FILE_DIRECTORY_MODE) < 0)
                return errno == EEXIST ? 0 : -errno;
        return 0;
}

/* path[0..n) is made a directory. What is there already is entered like any path: links lead on, inside the root. */
static int make_prefix(const FileRoot *root, const char *path, size_t n) {
        _cleanup_free_ char *prefix = strndup(path, n);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!prefix)
                return -ENOMEM;
        fd = file_open(root, prefix, O_PATH | O_DIRECTORY);
        if (fd != -ENOENT)
                return fd < 0 ? fd : 0;
        r = make_last(root, prefix);
        if (r < 0)
                return r;

        /* A link that leads nowhere is in the way and still does not open. */
        fd = file_open(root, prefix, O_PATH | O_DIRECTORY);
        return fd == -ENOENT ? -ENOTDIR : MIN(fd, 0);
}

int file_make_directories(const FileRoot *root, const char *path) {
        _cleanup_close_ int fd = file_open(root, path, O_PATH | O_DIRECTORY);
        size_t n = 0;
        int r;

        if (fd != -ENOENT)
                return MIN(fd, 0);

        while (path[n]) {
                n += strspn(path + n, "/");
                if (!path[n])
                        break;
                n += strcspn(path + n, "/");
                r = make_prefix(root, path, n);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* fchmod() does not take O_PATH descriptors, and a file without a read bit cannot be opened by its owner. */
static int change_mode_at(const FileRoot *root, const char *path, int path_fd, mode_t mode) {
        _cleanup_close_ int fd = -EBADF;
        struct stat a, b;

        if (syscall(SYS_fchmodat2, path_fd, "", mode, AT_EMPTY_PATH) >= 0)
                return 0;
        if (errno != ENOSYS && errno != EINVAL)
                return -errno;

        fd = file_open(root, path, O_RDONLY);
        if (fd < 0)
                return fd;
        if (fstat(path_fd, &a) < 0 || fstat(fd, &b) < 0)
                return -errno;
        if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
                return -EAGAIN;
        return fchmod(fd, mode) < 0 ? -errno : 0;
}

int file_change_mode(const FileRoot *root, const char *path, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        mode_t mode;
        int r;

        fd = file_open(root, path, O_PATH);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return -ENXIO;
        r = mode_change(text, st.st_mode, &mode);
        if (r < 0)
                return r;
        return change_mode_at(root, path, fd, mode);
}
