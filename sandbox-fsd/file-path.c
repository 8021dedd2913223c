/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/file-path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* The kernel answers EAGAIN when a rename crossed its walk and it could not tell whether ".." stayed inside. */
#define RACES_MAX 32U

/* linux/magic.h of Debian 12 lacks these two. */
#define MQUEUE_MAGIC_NUMBER 0x19800202
#define FUSE_CONTROL_MAGIC 0x65735543

static const unsigned long refused_file_systems[] = {
        BPF_FS_MAGIC,        CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC, DEBUGFS_MAGIC,  DEVPTS_SUPER_MAGIC,
        FUSE_CONTROL_MAGIC,  MQUEUE_MAGIC_NUMBER, NSFS_MAGIC,         PROC_SUPER_MAGIC, SECURITYFS_MAGIC,
        SYSFS_MAGIC,         TRACEFS_MAGIC,
};

static int open_in(int fd, const char *path, uint64_t flags, uint64_t resolve) {
        struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS };

        if (!(flags & O_PATH))
                how.flags |= O_NOCTTY | O_NONBLOCK;

        for (unsigned i = 0; i < RACES_MAX; i++) {
                int r = (int) syscall(SYS_openat2, fd, path, &how, sizeof how);

                if (r >= 0)
                        return r;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
        return -EAGAIN;
}

static int mount_id(int fd, uint64_t *ret) {
        struct statx sx;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
                return -errno;
        if (!(sx.stx_mask & STATX_MNT_ID))
                return -EOPNOTSUPP;
        *ret = sx.stx_mnt_id;
        return 0;
}

int file_root_init(FileRoot *ret, int fd) {
        _cleanup_close_ int root_fd = fd, dev_fd = -EBADF;
        uint64_t root_mount, dev_mount = 0;
        int r;

        r = mount_id(root_fd, &root_mount);
        if (r < 0)
                return r;

        dev_fd = open_in(root_fd, "dev", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
        if (dev_fd >= 0) {
                r = mount_id(dev_fd, &dev_mount);
                if (r < 0)
                        return r;
        }

        *ret = (FileRoot) { .fd = TAKE_FD(root_fd), .dev_mount = dev_mount == root_mount ? 0 : dev_mount };
        return 0;
}

void file_root_done(FileRoot *root) {
        root->fd = safe_close(root->fd);
}

int file_path_check(const char *path) {
        size_t component = 0, n = strlen(path);

        if (n == 0)
                return -EINVAL;
        if (n > FILE_PATH_MAX)
                return -ENAMETOOLONG;
        if (path[0] != '/')
                return -EXDEV;

        for (const char *p = path; *p; p++) {
                component = *p == '/' ? 0 : component + 1;
                if (component > FILE_NAME_MAX)
                        return -ENAMETOOLONG;
        }
        return 0;
}

int file_path_split(const char *path, char **ret_parent, char **ret_name) {
        _cleanup_free_ char *parent = NULL, *name = NULL;
        size_t end = strlen(path), start;
        int r;

        r = file_path_check(path);
        if (r < 0)
                return r;

        while (end > 0 && path[end - 1] == '/')
                end--;
        for (start = end; start > 0 && path[start - 1] != '/'; start--)
                ;

        name = strndup(path + start, end - start);
        parent = strndup(path, MAX(start, (size_t) 1));
        if (!name || !parent)
                return -ENOMEM;
        if (isempty(name))
                return -EPERM;
        if (streq(name, ".") || streq(name, ".."))
                return -EINVAL;

        *ret_parent = TAKE_PTR(parent);
        *ret_name = TAKE_PTR(name);
        return 0;
}

char *file_path_join(const char *directory, const char *name) {
        char *path;

        if (asprintf(&path, "%s%s%s", directory, endswith(directory, "/") ? "" : "/", name) < 0)
                return NULL;
        return path;
}

/* By what it is, not by where: root of a sandbox can mount its /proc under any name. */
int file_root_check(const FileRoot *root, int fd) {
        struct statfs fs;
        uint64_t id;
        int r;

        if (fstatfs(fd, &fs) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(refused_file_systems); i++)
                if ((unsigned long) fs.f_type == refused_file_systems[i])
                        return -EPERM;
        if (root->dev_mount == 0)
                return 0;

        r = mount_id(fd, &id);
        if (r < 0)
                return r;
        return id == root->dev_mount ? -EPERM : 0;
}

int file_open(const FileRoot *root, const char *path, int flags) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = file_path_check(path);
        if (r < 0)
                return r;
        fd = open_in(root->fd, path, (unsigned) flags, RESOLVE_IN_ROOT);
        if (fd < 0)
                return fd;
        r = file_root_check(root, fd);
        if (r < 0)
                return r;
        return TAKE_FD(fd);
}

/* Links on the way resolve as they do for a process in there; the last name is the caller's to look at. */
int file_open_parent(const FileRoot *root, const char *path, int *ret_fd, char **ret_name) {
        _cleanup_free_ char *parent = NULL, *name = NULL;
        int fd, r;

        r = file_path_split(path, &parent, &name);
        if (r < 0)
                return r;
        fd = file_open(root, parent, O_PATH | O_DIRECTORY);
        if (fd < 0)
                return fd;

        *ret_fd = fd;
        *ret_name = TAKE_PTR(name);
        return 0;
}

static int check_regular(int fd, struct stat *ret_st) {
        if (fstat(fd, ret_st) < 0)
                return -errno;
        if (S_ISREG(ret_st->st_mode))
                return 0;
        return S_ISDIR(ret_st->st_mode) ? -EISDIR : -ENXIO;
}

/* The first look is O_PATH, which has no effect on a FIFO or a device. What lies there when it is opened in earnest may
 * be another file, hence O_NONBLOCK and the second look. */
int file_open_regular(const FileRoot *root, const char *path, struct stat *ret_st) {
        _cleanup_close_ int fd = -EBADF, look_fd = -EBADF;
        int r;

        look_fd = file_open(root, path, O_PATH);
        if (look_fd < 0)
                return look_fd;
        r = check_regular(look_fd, ret_st);
        if (r < 0)
                return r;

        fd = file_open(root, path, O_RDONLY);
        if (fd < 0)
                return fd;
        r = check_regular(fd, ret_st);
        if (r < 0)
                return r;
        return TAKE_FD(fd);
}

/* Stricter than file_open(): a walk must not leave the tree that it was sent into. */
int file_open_child(int directory_fd, const char *name, int flags) {
        return open_in(directory_fd, name, (unsigned) flags | O_NOFOLLOW,
                       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Renaming or removing a mount point would fail half way, or hit what lies under the mount. */
int file_check_entry(int directory_fd, const char *name, struct stat *ret_st) {
        _cleanup_close_ int fd = -EBADF;
        struct statx sx;

        fd = openat(directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, ret_st) < 0 || statx(fd, "", AT_EMPTY_PATH, 0, &sx) < 0)
                return -errno;
        return sx.stx_attributes & sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT ? -EBUSY : 0;
}
