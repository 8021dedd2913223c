/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-init/mount-util.h"

#include <linux/openat2.h>

#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

/* Mounts by descriptors only: a file system is made, configured and bound while it is detached, and gets its place as
 * the last thing. So nothing is ever found half-made, no path is resolved twice, and what fails is gone with its
 * descriptor. */

#define INIT_FILE 1

static int fs_set(int context, const FsOption *o) {
        unsigned command = o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

        return (int) SYS(fsconfig, context, command, o->key, o->value, 0);
}

int fs_make(const char *type, const FsOption *options, size_t n_options, unsigned attributes, int *ret_context) {
        int context, mount;

        context = (int) TRY(SYS(fsopen, type, FSOPEN_CLOEXEC));
        for (size_t i = 0; i < n_options; i++)
                TRY(fs_set(context, &options[i]));
        TRY(SYS(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
        mount = (int) TRY(SYS(fsmount, context, FSMOUNT_CLOEXEC, attributes));

        if (ret_context)
                *ret_context = context;
        else
                close_fd(&context);
        return mount;
}

/* The context is that of the making, kept open: a blank sandbox has its tmpfs before anybody knows how large it may be. */
int tmpfs_resize(int context, uint64_t size, uint64_t inodes) {
        char size_text[DECIMAL_MAX], inodes_text[DECIMAL_MAX];
        FsOption options[] = {
                { "size",      format_u64(size, size_text)     },
                { "nr_inodes", format_u64(inodes, inodes_text) },
        };

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                TRY(fs_set(context, &options[i]));
        TRY(SYS(fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
        (void) SYS(close, context);
        return 0;
}

int mount_move(int mount, int directory, const char *path) {
        return (int) TRY(SYS(move_mount, mount, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH));
}

int mount_move_to(int mount, int target) {
        unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

        return (int) TRY(SYS(move_mount, mount, "", target, "", flags));
}

int mount_set_attributes(int mount, unsigned attributes) {
        struct mount_attr a = { .attr_set = attributes };

        return (int) TRY(SYS(mount_setattr, mount, "", AT_EMPTY_PATH, &a, sizeof(a)));
}

int mount_bind(int directory, const char *path, unsigned attributes, int target) {
        unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
        int mount;

        mount = (int) TRY(SYS(open_tree, directory, path, flags));
        if (attributes != 0)
                TRY(mount_set_attributes(mount, attributes));
        TRY(mount_move_to(mount, target));
        close_fd(&mount);
        return 0;
}

/* Below the new root and without following a link: the image is its author's, and a link in the place of /dev must not
 * lead us anywhere. */
int open_target(int root, const char *path, unsigned flags) {
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC | flags,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };

        return (int) SYS(openat2, root, path, &how, sizeof(how));
}

/* Opened again after it was made, by the same strict way: what is there now may be something else. */
int open_or_make_directory(int root, const char *name) {
        int fd;

        fd = open_target(root, name, O_DIRECTORY);
        if (fd != -ENOENT)
                return (int) TRY(fd);

        TRY(SYS(mkdirat, root, name, 0755));
        return (int) TRY(open_target(root, name, O_DIRECTORY));
}
