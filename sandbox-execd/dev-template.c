/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/layer.h"

/* One read-only tmpfs with the six harmless nodes serves all sandboxes. The nodes are bind mounts of the host's, so no
 * MKNOD is needed. It must be attached somewhere: before Linux 6.15 a detached mount cannot be cloned. */

static const char *const nodes[] = { "full", "null", "random", "tty", "urandom", "zero" };

static const struct {
        const char *name, *target;
} links[] = {
        { "fd",     "/proc/self/fd" },
        { "ptmx",   "pts/ptmx"      },
        { "stderr", "fd/2"          },
        { "stdin",  "fd/0"          },
        { "stdout", "fd/1"          },
};

static int tmpfs_new(void) {
        _cleanup_close_ int fs = -EBADF;
        int mount;

        fs = (int) syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
        if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
            syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        mount = (int) syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        return mount < 0 ? -errno : mount;
}

static int add_node(int dev, const char *name) {
        _cleanup_close_ int node = -EBADF, target = -EBADF, host = -EBADF;

        target = openat(dev, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
        if (target < 0)
                return -errno;
        host = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (host < 0)
                return -errno;
        node = (int) syscall(SYS_open_tree, host, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (node < 0)
                return -errno;
        if (syscall(SYS_move_mount, node, "", dev, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

static int fill(int dev) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(nodes); i++)
                r = add_node(dev, nodes[i]);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(links); i++)
                r = symlinkat(links[i].target, dev, links[i].name) < 0 ? -errno : 0;
        if (r < 0)
                return r;
        return mkdirat(dev, "pts", 0755) < 0 || mkdirat(dev, "shm", 0755) < 0 ? -errno : 0;
}

int dev_template_new(const char *path) {
        struct mount_attr shared = { .propagation = MS_PRIVATE }, read_only = { .attr_set = MOUNT_ATTR_RDONLY };
        _cleanup_close_ int dev = -EBADF;
        int r;

        dev = tmpfs_new();
        if (dev < 0)
                return log_error_errno(dev, "Failed to make a tmpfs: %m");
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return log_error_errno(errno, "Failed to make %s: %m", path);
        if (syscall(SYS_move_mount, dev, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return log_error_errno(errno, "Failed to attach the template of /dev: %m");

        r = fill(dev);
        if (r < 0)
                return log_error_errno(r, "Failed to fill the template of /dev: %m");
        if (syscall(SYS_mount_setattr, dev, "", AT_EMPTY_PATH | AT_RECURSIVE, &shared, sizeof shared) < 0 ||
            syscall(SYS_mount_setattr, dev, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
                return log_error_errno(errno, "Failed to make the template of /dev read-only: %m");
        return TAKE_FD(dev);
}

int dev_template_clone(int template_fd) {
        int tree = (int) syscall(SYS_open_tree, template_fd, "",
                                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

        return tree < 0 ? -errno : tree;
}
