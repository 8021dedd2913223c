/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>

#include "sandbox-init/init.h"
#include "sandbox-init/mount-util.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

#define INIT_FILE 2

/* From a user and a pid namespace, as execd made them, to a parked sandbox: everything that no image and no limit is
 * needed for, so that little is left to do while a client waits. Then nothing of the host is in reach: the tree is a small
 * tmpfs with a masked /proc of the sandbox's own pid namespace. */

#define NEW_NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
#define UMOUNT_DETACH 2
#define OOM_SCORE_ADJUST "500"

/* The directories of the parked tree. */
static const char *const directories[] = { "root", "proc", "mask", "upper" };

/* execd keeps nothing of itself inside but what commands need to be bounded by; everything else is nobody's. */
static const char *const proc_read_only[] = { "bus", "fs", "irq", "sys", "sysrq-trigger" };

/* What tells of the host, or lets its devices be timed. Missing ones are the kernel's configuration. */
static const char *const proc_masked[] = {
        "acpi", "asound", "interrupts", "iomem", "ioports", "kcore", "key-users", "keys", "kmsg", "kpagecgroup",
        "kpagecount", "kpageflags", "latency_stats", "sched_debug", "scsi", "slabinfo", "timer_list", "timer_stats",
        "vmallocinfo",
};

/* Of init itself. The kernel lets root of the user namespace list these (their contents need more), so they are covered
 * by a directory of the host's root, which nobody inside may enter. */
static const char *const proc_shut[] = { "1/fd", "1/fdinfo", "1/task" };
#define NOBODYS_DIRECTORY "tty/driver"

static int become_root(void) {
        TRY(SYS(setresgid, 0, 0, 0));
        TRY(SYS(setgroups, 0, NULL));
        TRY(SYS(setresuid, 0, 0, 0));
        return 0;
}

/* The session keyring is the one thing that namespaces do not part. */
static int leave_keyring(void) {
        long r;

        r = SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
        return r == -ENOSYS ? 0 : (int) TRY(r);
}

static int make_directories(int tree) {
        for (size_t n = 0; n < ELEMENTSOF(directories); n++)
                TRY(SYS(mkdirat, tree, directories[n], 0755));
        return 0;
}

static int leave_host_tree(void) {
        static const FsOption options[] = { { "size", "64k" }, { "nr_inodes", "64" }, { "mode", "0755" } };
        int tree;

        TRY(SYS(mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        tree = (int) TRY(fs_make("tmpfs", options, ELEMENTSOF(options), MOUNT_ATTR_DATA, NULL));
        TRY(mount_move(tree, AT_FDCWD, "/tmp")); /* a directory that every host has */
        TRY(SYS(fchdir, tree));
        TRY(make_directories(tree));
        TRY(SYS(pivot_root, ".", "."));
        TRY(SYS(umount2, ".", UMOUNT_DETACH));
        TRY(SYS(chdir, "/"));
        close_fd(&tree);
        return 0;
}

/* From here on there are two namespaces with this tree. What is attached to the one that is left behind, the vault, is
 * there as long as we hold it, while nothing of it can be reached from the one that commands will live in. */
static int leave_vault(int proc) {
        int fd;

        fd = (int) TRY(SYS(openat, proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC));
        TRY(SYS(dup3, fd, INIT_FD_VAULT, O_CLOEXEC));
        close_fd(&fd);
        TRY(SYS(unshare, CLONE_NEWNS));
        return 0;
}

/* An empty file and an empty directory to bind over what is hidden, attached because only newer kernels clone from
 * detached mounts. */
static int make_masks(void) {
        static const FsOption options[] = { { "size", "4k" }, { "nr_inodes", "8" }, { "mode", "0555" } };
        int masks, file;

        masks = (int) TRY(fs_make("tmpfs", options, ELEMENTSOF(options), MOUNT_ATTR_DATA, NULL));
        file = (int) TRY(SYS(openat, masks, "file", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444));
        close_fd(&file);
        TRY(SYS(mkdirat, masks, "directory", 0555));
        TRY(mount_set_attributes(masks, MOUNT_ATTR_RDONLY));
        TRY(mount_move(masks, AT_FDCWD, "mask"));
        close_fd(&masks);
        return 0;
}

static int mask_path(int root, const char *path) {
        int target;

        target = open_target(root, path, O_DIRECTORY);
        if (target >= 0)
                TRY(mount_bind(AT_FDCWD, "mask/directory", 0, target));
        else if (target == -ENOTDIR) {
                target = (int) TRY(open_target(root, path, 0));
                TRY(mount_bind(AT_FDCWD, "mask/file", 0, target));
        } else if (target != -ENOENT)
                TRY(target);

        close_fd(&target);
        return 0;
}

static int shut_path(int root, const char *path) {
        int target;

        target = (int) TRY(open_target(root, path, O_DIRECTORY));
        TRY(mount_bind(root, NOBODYS_DIRECTORY, 0, target));
        close_fd(&target);
        return 0;
}

static int make_read_only(int root, const char *path) {
        int target;

        target = open_target(root, path, 0);
        if (target == -ENOENT)
                return 0;

        TRY(target);
        TRY(mount_bind(target, "", MOUNT_ATTR_DATA | MOUNT_ATTR_RDONLY, target));
        close_fd(&target);
        return 0;
}

/* Commands inherit the score and cannot lower it; the daemons of the host go last. Changing ids made init undumpable, so
 * its files in /proc are the host root's until it says otherwise. There is nobody yet who could use the moment. */
static int set_oom_score(int proc) {
        int r;

        TRY(SYS(prctl, PR_SET_DUMPABLE, 1));
        r = write_file_at(proc, "self/oom_score_adj", OOM_SCORE_ADJUST);
        TRY(SYS(prctl, PR_SET_DUMPABLE, 0));
        return (int) TRY(r);
}

/* The masks are put on before there is an image that could be in their way. */
static int prepare_proc(Parked *p) {
        p->proc = INIT_FD_PROC;
        TRY(mount_set_attributes(p->proc, MOUNT_ATTR_DATA));
        TRY(mount_move(p->proc, AT_FDCWD, "proc"));
        TRY(set_oom_score(p->proc));

        /* A second line behind the filter, where the kernel has it. */
        (void) write_file_at(p->proc, "sys/user/max_user_namespaces", "0");

        TRY(make_masks());
        for (size_t n = 0; n < ELEMENTSOF(proc_masked); n++)
                TRY(mask_path(p->proc, proc_masked[n]));
        for (size_t n = 0; n < ELEMENTSOF(proc_shut); n++)
                TRY(shut_path(p->proc, proc_shut[n]));
        for (size_t n = 0; n < ELEMENTSOF(proc_read_only); n++)
                TRY(make_read_only(p->proc, proc_read_only[n]));
        return 0;
}

/* Born with a limit: a tmpfs without one cannot get it later. */
static int make_sized_tmpfs(const char *mode, unsigned attributes, SizedMount *ret) {
        FsOption options[] = { { "size", "4k" }, { "nr_inodes", "16" }, { "mode", mode } };

        ret->mount = (int) TRY(fs_make("tmpfs", options, ELEMENTSOF(options), attributes, &ret->context));
        return 0;
}

static int prepare_mounts(Parked *p) {
        /* The kernel has one count of all PTYs of the host: a sandbox must not take those of its neighbours. */
        static const FsOption options[] = {
                { "ptmxmode", "0666" }, { "mode", "0620" }, { "gid", "5" }, { "max", "128" },
        };
        unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;

        p->pts = (int) TRY(fs_make("devpts", options, ELEMENTSOF(options), attributes, NULL));
        TRY(make_sized_tmpfs("1777", MOUNT_ATTR_DATA, &p->shm));
        TRY(make_sized_tmpfs("1777", MOUNT_ATTR_PLAIN, &p->tmp));
        TRY(make_sized_tmpfs("0755", MOUNT_ATTR_PLAIN, &p->run));
        return 0;
}

static int raise_loopback(void) {
        struct { char name[16]; short flags; char padding[22]; } request = { .name = "lo", .flags = 1 | 64 };
        int fd;

        fd = (int) TRY(SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        TRY(SYS(ioctl, fd, SIOCSIFFLAGS, &request)); /* IFF_UP | IFF_RUNNING */
        close_fd(&fd);
        return 0;
}

int init_park(Init *i) {
        TRY(become_root());
        TRY(SYS(unshare, NEW_NAMESPACES));
        TRY(leave_keyring());
        (void) SYS(umask, 0022);
        TRY(leave_host_tree());
        TRY(leave_vault(INIT_FD_PROC));
        TRY(prepare_proc(&i->parked));
        TRY(prepare_mounts(&i->parked));
        TRY(raise_loopback());
        return 0;
}

/* The kernel asks who opened the file, not who writes. The write waits for others that move, and at times for a grace
 * period of RCU: better here than in execd, who has others to look after. */
int init_enter_cgroup(Init *i) {
        TRY(SYS(unshare, CLONE_NEWCGROUP));
        TRY(SYS(write, i->request.fds[0], "0", 1));
        return 0;
}
