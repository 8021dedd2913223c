/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/layer.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* A layer becomes a detached mount: a clone of the directory's mount that hangs nowhere, with flags and an id map of
 * its own, which is then passed to init as a descriptor. Nobody else ever sees it, and it ends with the last descriptor
 * or the sandbox's mount namespace: there is nothing to unmount after a crash. */

static const char *const kinds[_LAYER_KIND_MAX] = {
        [LAYER_LOWER] = "layer",
        [LAYER_UPPER] = "upper",
        [LAYER_USR] = "usr",
        [LAYER_FROZEN] = "frozen",
        [LAYER_MERGED] = "merged",
};

LayerKind layer_kind_from_string(const char *s) {
        for (int i = 0; i < _LAYER_KIND_MAX; i++)
                if (streq(kinds[i], s))
                        return (LayerKind) i;
        return _LAYER_KIND_INVALID;
}

static int open_tree_clone(int fd) {
        int tree = (int) syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

        return tree < 0 ? -errno : tree;
}

/* A mount can only be cloned in the mount namespace it belongs to, and sandbox-fsd has one of its own. So the directory is
 * opened again here, by the path that the kernel tells for the descriptor; the descriptor stays the authority: what was
 * opened must be the very same directory. The lookup has the rights of the service that owns the layers, since the
 * daemon itself may not pass directories that are closed to others. */
static int reopen_here(int fd, uid_t owner) {
        struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS };
        _cleanup_close_ int here = -EBADF;
        char link[64], path[PATH_MAX];
        struct stat passed, opened;
        ssize_t n;

        snprintf(link, sizeof link, "/proc/self/fd/%i", fd);
        n = readlink(link, path, sizeof path - 1);
        if (n < 0)
                return -errno;
        path[n] = 0;

        (void) setfsuid(owner);
        here = (int) syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
        if (here < 0)
                here = -errno;
        (void) setfsuid(0);
        /* The change of user took it away, and with it our children's (they share our memory) namespaces in /proc. */
        (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        if (here < 0)
                return here;

        if (fstat(fd, &passed) < 0 || fstat(here, &opened) < 0)
                return -errno;
        if (passed.st_dev != opened.st_dev || passed.st_ino != opened.st_ino)
                return -ESTALE;
        return TAKE_FD(here);
}

int layer_open_below(int fd, const char *name, uid_t owner) {
        _cleanup_close_ int here = -EBADF;
        int below;

        here = reopen_here(fd, owner);
        if (here < 0)
                return here;
        (void) setfsuid(owner);
        below = openat(here, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
                below = -errno;
        (void) setfsuid(0);
        (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return below;
}

/* As it is, if the descriptor is of a mount in our own namespace. */
static int clone_directory(int fd, uid_t owner) {
        _cleanup_close_ int here = -EBADF;
        int tree;

        tree = open_tree_clone(fd);
        if (tree != -EINVAL)
                return tree;
        here = reopen_here(fd, owner);
        return here < 0 ? here : open_tree_clone(here);
}

static int set_attributes(int tree, uint64_t set, uint64_t clear, int user_fd) {
        struct mount_attr attr = {
                .attr_set = set,
                .attr_clr = clear,
                .propagation = MS_PRIVATE,
                .userns_fd = user_fd >= 0 ? (uint64_t) user_fd : 0,
        };

        return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0 ? -errno : 0;
}

/* The map and the flags are set in one call, while the mount is still detached: an id map can be set only once, and
 * only on a mount that nobody can see. */
int layer_clone(const Layer *layer, int user_fd, uid_t owner, bool *idmapped) {
        uint64_t set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, clear = 0;
        _cleanup_close_ int tree = -EBADF;
        int r;

        tree = clone_directory(layer->fd, owner);
        if (tree < 0)
                return tree;

        if (layer->kind == LAYER_UPPER)
                clear |= MOUNT_ATTR_RDONLY; /* of the unit's ProtectSystem=, which a clone takes over */
        else
                set |= MOUNT_ATTR_RDONLY;

        r = set_attributes(tree, set | MOUNT_ATTR_IDMAP, clear, user_fd);
        if (r == -EINVAL && layer->origin == 0 && layer->kind != LAYER_UPPER) {
                r = set_attributes(tree, set, clear, -EBADF);
                if (r >= 0)
                        *idmapped = false;
        }
        return r < 0 ? r : TAKE_FD(tree);
}

int layer_make_read_only(int tree) {
        return set_attributes(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY, 0, -EBADF);
}

int layer_map(int tree, int user_fd, bool *idmapped) {
        *idmapped = true;
        return set_attributes(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY | MOUNT_ATTR_IDMAP, 0, user_fd);
}
