/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-fsd/file-ops.h"

/* A reader sees the old file or the new one. The content goes into a file without a name, or with a random one where
 * the kernel cannot link by descriptor, and takes the name at the end; an upload that breaks leaves nothing behind. */

#define CHUNK (1 * MiB)
#define BUFFER (64 * KiB)

typedef struct Target {
        int directory_fd, fd;
        char *name;
        char temporary[32];
        bool named; /* the temporary file has its name, which must go on failure */
} Target;

static void target_done(Target *t) {
        if (t->named)
                (void) unlinkat(t->directory_fd, t->temporary, 0);
        safe_close(t->directory_fd);
        safe_close(t->fd);
        free(t->name);
}

int file_temporary_name(char ret[32]) {
        uint64_t random;

        if (getrandom(&random, sizeof random, 0) != sizeof random)
                return -EIO;
        (void) snprintf(ret, 32, ".sbx-%016llx", (unsigned long long) random);
        return 0;
}

/* Linking by descriptor alone wants CAP_DAC_READ_SEARCH in the first user namespace before kernel 6.10, and /proc is
 * the sandbox's. Found out once, with a file of no content. */
static bool can_link_descriptors(int directory_fd) {
        static int cached = -1;
        _cleanup_close_ int fd = -EBADF;
        char name[32];

        if (cached >= 0)
                return cached;
        fd = openat(directory_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0 || file_temporary_name(name) < 0)
                return false;
        cached = linkat(fd, "", directory_fd, name, AT_EMPTY_PATH) >= 0;
        if (cached)
                (void) unlinkat(directory_fd, name, 0);
        return cached;
}

static int create_temporary(Target *t) {
        int r;

        r = file_temporary_name(t->temporary);
        if (r < 0)
                return r;
        if (can_link_descriptors(t->directory_fd)) {
                t->fd = openat(t->directory_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
                if (t->fd >= 0)
                        return 0;
        }
        t->fd = openat(t->directory_fd, t->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (t->fd < 0)
                return -errno;
        t->named = true;
        return 0;
}

static int put_in_place(Target *t) {
        if (!t->named && linkat(t->fd, "", t->directory_fd, t->temporary, AT_EMPTY_PATH) < 0)
                return -errno;
        t->named = true;
        if (renameat(t->directory_fd, t->temporary, t->directory_fd, t->name) < 0)
                return -errno;
        t->named = false;
        return 0;
}

int file_look_at_replaced(int directory_fd, const char *name, struct stat *ret_st) {
        if (fstatat(directory_fd, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISLNK(ret_st->st_mode))
                return 0;
        if (!S_ISREG(ret_st->st_mode))
                return S_ISDIR(ret_st->st_mode) ? -EISDIR : -ENXIO;
        /* Replacing needs rights on the directory only, but a file that its user made read-only is meant so. */
        if (faccessat(directory_fd, name, W_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 1;
}

/* An upload that stalls holds a worker: its client is given up before he is waited for without an end. */
static int wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r;

        do
                r = poll(&p, 1, FILE_STALL_MSEC);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        return r == 0 ? -ETIMEDOUT : 0;
}

static ssize_t copy_through_buffer(int from_fd, int to_fd, size_t size) {
        char buffer[BUFFER];
        ssize_t n;
        int r;

        n = read(from_fd, buffer, MIN(size, sizeof buffer));
        if (n <= 0)
                return n < 0 ? -errno : 0;
        r = loop_write(to_fd, buffer, (size_t) n);
        return r < 0 ? r : n;
}

/* The kernel moves the bytes where it can; a pipe's pages change hands, a file's blocks may even be shared. */
static ssize_t copy_some(int from_fd, int to_fd, size_t size, bool pipe) {
        ssize_t n;

        n = pipe ? splice(from_fd, NULL, to_fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                 : copy_file_range(from_fd, NULL, to_fd, NULL, size, 0);
        if (n >= 0)
                return n;
        if (errno == EINVAL || errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS)
                return copy_through_buffer(from_fd, to_fd, size);
        return -errno;
}

int file_copy_bytes(int from_fd, int to_fd, uint64_t size) {
        struct stat st;
        bool pipe;
        int r;

        if (fstat(from_fd, &st) < 0)
                return -errno;
        pipe = S_ISFIFO(st.st_mode);
        if (!pipe && !S_ISREG(st.st_mode))
                return -EINVAL;

        while (size > 0) {
                ssize_t n;

                if (pipe) {
                        r = wait_readable(from_fd);
                        if (r < 0)
                                return r;
                }
                n = copy_some(from_fd, to_fd, MIN(size, CHUNK), pipe);
                if (n == -EAGAIN || n == -EINTR)
                        continue;
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return -ECANCELED;
                size -= (uint64_t) n;
        }
        return 0;
}

int file_take_over_attributes(int fd, mode_t mode, const struct stat *replaced) {
        if (replaced) {
                mode = replaced->st_mode;
                /* Only root may give files away; a user's file stays the user's. */
                if (fchown(fd, replaced->st_uid, replaced->st_gid) < 0 && errno != EPERM)
                        return -errno;
        }
        return fchmod(fd, mode & 07777) < 0 ? -errno : 0;
}

/* As clients of the API expect it, who write to a/b/c without a mkdir before. */
int file_make_parents(const FileRoot *root, const char *path) {
        _cleanup_free_ char *parent = NULL, *name = NULL;
        int r;

        r = file_path_split(path, &parent, &name);
        if (r < 0)
                return r;
        return file_make_directories(root, parent);
}

int file_write(const FileRoot *root, const FileWrite *w) {
        _cleanup_(target_done) Target t = { .directory_fd = -EBADF, .fd = -EBADF };
        struct stat st;
        int exists, r;

        if (w->size > FILE_WRITE_MAX)
                return -EFBIG;
        r = file_make_parents(root, w->path);
        if (r >= 0)
                r = file_open_parent(root, w->path, &t.directory_fd, &t.name);
        if (r < 0)
                return r;
        exists = file_look_at_replaced(t.directory_fd, t.name, &st);
        if (exists < 0)
                return exists;

        r = create_temporary(&t);
        if (r < 0)
                return r;
        if (w->source_fd >= 0)
                r = file_copy_bytes(w->source_fd, t.fd, w->size);
        else
                r = loop_write(t.fd, w->bytes, w->size);
        if (r >= 0)
                r = file_take_over_attributes(t.fd, w->mode, exists && w->keep_mode ? &st : NULL);
        if (r >= 0)
                r = put_in_place(&t);
        return r;
}
