/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/volume-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/layer.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/spawn.h"

/* The sandbox owns every directory on the way and may change them while we walk. So the path is walked component by
 * component, by descriptors, and no link is ever followed: the worst that it can do is to have the volume in another place
 * of its own tree, or to have us wait, for a directory is locked while somebody lists it or makes something in it. Hence a
 * process that nobody waits for: it alone is late, and with it this sandbox's next volume.
 *
 * An idmapped clone shows the volume's files as the sandbox's own, whichever range the one before had; on disk they
 * belong to the range of images. */

/* What the process inside works with. */
typedef struct Inside {
        const char *path;
        struct statx root; /* of the volume */
} Inside;

/* Until the process has ended. */
typedef struct MountJob {
        Manager *manager;
        SandboxId sandbox;
        VolumeMountHandler handler;
        void *userdata;
} MountJob;

static int open_component(int directory, const char *name) {
        struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS };
        int fd = (int) syscall(SYS_openat2, directory, name, &how, sizeof how);

        return fd < 0 ? -errno : fd;
}

/* The directory that the last component names, and the one that it is in. */
static int walk(const char *path, bool make, int *ret_parent, char last[static NAME_MAX + 1]) {
        _cleanup_close_ int parent = -EBADF;
        int fd = open_component(AT_FDCWD, "/");

        for (const char *p = path; fd >= 0 && p; p = strchr(p + 1, '/')) {
                size_t n = strcspn(p + 1, "/");

                memcpy(last, p + 1, n);
                last[n] = 0;
                parent = safe_close(parent);
                parent = fd;
                if (make && mkdirat(parent, last, 0755) < 0 && errno != EEXIST)
                        return -errno;
                fd = open_component(parent, last);
        }
        if (fd >= 0)
                *ret_parent = TAKE_FD(parent);
        return fd;
}

static int get_root(int fd, struct statx *ret) {
        return statx(fd, "", AT_EMPTY_PATH, STATX_INO, ret) < 0 ? -errno : 0;
}

/* 0: nothing is mounted there; 1: the volume is; -EBUSY: something else is. */
static int look(int fd, const struct statx *root) {
        struct statx here;
        int r;

        r = get_root(fd, &here);
        if (r < 0)
                return r;
        if (!(here.stx_attributes & STATX_ATTR_MOUNT_ROOT))
                return 0;
        return here.stx_ino == root->stx_ino && here.stx_dev_major == root->stx_dev_major &&
                               here.stx_dev_minor == root->stx_dev_minor
                       ? 1
                       : -EBUSY;
}

static int mount_inside(int tree_fd, const void *argument) {
        _cleanup_close_ int parent = -EBADF, target = -EBADF;
        const Inside *i = argument;
        char last[NAME_MAX + 1];
        int r;

        target = walk(i->path, /* make= */ true, &parent, last);
        if (target < 0)
                return target;
        r = look(target, &i->root);
        if (r != 0)
                return MIN(r, 0);
        if (syscall(SYS_move_mount, tree_fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

/* By the name in the directory that it is in: there is no unmounting by descriptor, and an open one of the mount would
 * keep it busy. */
static int unmount_inside(int fd, const void *argument) {
        _cleanup_close_ int parent = -EBADF, target = -EBADF;
        const Inside *i = argument;
        char last[NAME_MAX + 1];
        int r;

        (void) fd;
        target = walk(i->path, /* make= */ false, &parent, last);
        if (target < 0)
                return target == -ENOENT || target == -ENOTDIR || target == -ELOOP ? 0 : target;
        r = look(target, &i->root);
        if (r <= 0)
                return r == -EBUSY ? 0 : r; /* another mount than ours: ours is not there */
        target = safe_close(target);
        if (fchdir(parent) < 0 || umount2(last, UMOUNT_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

static int open_namespace(const Sandbox *s, const char *name) {
        char path[64];
        int fd;

        snprintf(path, sizeof path, "/proc/%i/ns/%s", s->pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int on_ended(sd_event_source *source, const siginfo_t *info, void *userdata) {
        _cleanup_free_ MountJob *job = userdata;
        Sandbox *s = manager_get(job->manager, job->sandbox.digits);

        if (s)
                s->mounting = false;
        job->handler(info->si_code == CLD_EXITED ? -info->si_status : -ECONNRESET, job->userdata);
        service_release(job->manager->service);
        sd_event_source_disable_unref(source);
        return 0;
}

static int watch(Sandbox *s, const SpawnResult *process, VolumeMountHandler handler, void *userdata) {
        _cleanup_free_ MountJob *job = new0(MountJob, 1);
        sd_event_source *source;
        int r = -ENOMEM;

        if (job) {
                *job = (MountJob) { s->manager, s->record.id, handler, userdata };
                r = sd_event_add_child_pidfd(service_event(s->manager->service), &source, process->pidfd, WEXITED,
                                             on_ended, job);
        }
        if (r < 0) {
                safe_close(process->pidfd);
                return r;
        }
        (void) sd_event_source_set_child_pidfd_own(source, true);
        service_hold(s->manager->service);
        s->mounting = true;
        TAKE_PTR(job);
        return 0;
}

static int run_inside(Sandbox *s, SpawnInside *inside, VolumeMountHandler handler, void *userdata) {
        _cleanup_close_ int user = -EBADF, mount = -EBADF;
        SpawnResult process;
        int r;

        user = open_namespace(s, "user");
        if (user < 0)
                return user;
        mount = open_namespace(s, "mnt");
        if (mount < 0)
                return mount;
        inside->user_fd = user;
        inside->mount_fd = mount;
        r = spawn_inside(inside, &process);
        return r < 0 ? r : watch(s, &process, handler, userdata);
}

static int clone_volume(const Sandbox *s, const VolumeMount *mount) {
        Layer layer = { mount->data_fd, mount->read_only ? LAYER_LOWER : LAYER_UPPER, FOREIGN_ID_FIRST };
        _cleanup_close_ int map = -EBADF;
        bool idmapped = true;

        map = spawn_user_namespace(FOREIGN_ID_FIRST, s->record.base, ID_RANGE_SIZE);
        if (map < 0)
                return map;
        return layer_clone(&layer, map, s->manager->fsd_uid, &idmapped);
}

int volume_mount(Sandbox *s, const VolumeMount *mount, VolumeMountHandler handler, void *userdata) {
        Inside inside = { .path = mount->path };
        _cleanup_close_ int tree = -EBADF;
        int r;

        if (s->mounting)
                return -EAGAIN;
        r = get_root(mount->data_fd, &inside.root);
        if (r < 0)
                return r;
        tree = clone_volume(s, mount);
        if (tree < 0)
                return log_sandbox_errno(LOG_WARNING, tree, s->record.id.digits,
                                         "Failed to map a volume into the sandbox's ids: %m");
        return run_inside(s, &(SpawnInside) { .function = mount_inside, .argument = &inside, .fd = tree }, handler,
                          userdata);
}

int volume_unmount(Sandbox *s, const VolumeMount *mount, VolumeMountHandler handler, void *userdata) {
        Inside inside = { .path = mount->path };
        int r;

        if (s->mounting)
                return -EAGAIN;
        r = get_root(mount->data_fd, &inside.root);
        return r < 0 ? r : run_inside(s, &(SpawnInside) { .function = unmount_inside, .argument = &inside,
                                                          .fd = -EBADF }, handler, userdata);
}
