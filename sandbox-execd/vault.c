/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/init-protocol.h"
#include "libsandbox/log.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/sandbox.h"
#include "sandbox-execd/spawn.h"

/* The daemon owns the user namespaces of its sandboxes, so a child of it can be root there. It shares our descriptors:
 * what it opens in the vault is ours when it is gone. A rebuild is begun and finished by one such child, in the sandbox's
 * cgroup: were we killed meanwhile, it would finish. Should it not, what is attached in the vault but not named by the
 * root that the kernel shows is of no meaning, and the next rebuild takes it away. */

#define MOUNTINFO_MAX (256 * KiB)
#define PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

int vault_open(const Sandbox *s, Vault *ret) {
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        _cleanup_close_ int pidfd = -EBADF;
        char path[64];

        pidfd = (int) syscall(SYS_pidfd_open, s->pid, 0);
        if (pidfd < 0)
                return -errno;
        v.vault_fd = (int) syscall(SYS_pidfd_getfd, pidfd, INIT_FD_VAULT, 0);
        if (v.vault_fd < 0)
                return errno == EBADF ? -EOPNOTSUPP : -errno;
        snprintf(path, sizeof path, "/proc/%i/ns/user", s->pid);
        v.user_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (v.user_fd < 0)
                return -errno;
        snprintf(path, sizeof path, "/proc/%i/ns/mnt", s->pid);
        v.mount_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (v.mount_fd < 0)
                return -errno;
        v.cgroup_fd = openat(s->cgroup_fd, CGROUP_NAME_INIT, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (v.cgroup_fd < 0)
                return -errno;
        *ret = v;
        v = VAULT_NULL;
        return 0;
}

void vault_done(Vault *v) {
        v->user_fd = safe_close(v->user_fd);
        v->mount_fd = safe_close(v->mount_fd);
        v->vault_fd = safe_close(v->vault_fd);
        v->cgroup_fd = safe_close(v->cgroup_fd);
}

int vault_read_composition(const Sandbox *s, Composition *ret) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        int r;

        snprintf(path, sizeof path, "/proc/%i/mountinfo", s->pid);
        r = read_text_at(AT_FDCWD, path, MOUNTINFO_MAX, &text);
        return r < 0 ? r : composition_parse(text, ret);
}

/* ---- in the child */

#define OPENED_MAX (2U * COMPOSITION_MOUNTS_MAX + 16U)

typedef struct Task {
        const Vault *vault;
        int (*function)(struct Task *t);
        const char *name;
        const VaultRebuild *rebuild;
        VaultMark *mark;
        int *twice;
        int result;
        int line;  /* of the failure */
        int opened[OPENED_MAX]; /* and not to be kept: the table of descriptors is the daemon's */
        size_t n_opened;
} Task;

#define TRY(t, x)                                                                                  \
        ({                                                                                         \
                long _r = (long) (x);                                                              \
                if (_r < 0) {                                                                      \
                        (t)->line = __LINE__;                                                      \
                        return -errno;                                                             \
                }                                                                                  \
                (int) _r;                                                                          \
        })

/* OPEN(t, open(...)): as TRY(), and it is closed when all is over, whatever comes of it. */
#define OPEN(t, x)                                                                                 \
        ({                                                                                         \
                int _fd = TRY(t, x);                                                               \
                if ((t)->n_opened == ELEMENTSOF((t)->opened)) {                                    \
                        (void) close(_fd);                                                         \
                        return -EMFILE;                                                            \
                }                                                                                  \
                (t)->opened[(t)->n_opened++] = _fd;                                                \
        })

static int task_main(void *userdata) {
        Task *t = userdata;

        (void) umask(0);
        if (setns(t->vault->user_fd, CLONE_NEWUSER) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
            syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0 ||
            setns(t->vault->vault_fd, CLONE_NEWNS) < 0)
                t->result = -errno;
        else
                t->result = t->function(t);
        return 0;
}

static int task_run(Task *t) {
        int r;

        r = spawn_run(t->vault->cgroup_fd, task_main, t);
        if (r >= 0)
                r = t->result;
        close_many(t->opened, t->n_opened);
        if (r < 0)
                log_debug_errno(r, "A task in a vault failed (%s:%i): %m", __FILE__, t->line);
        return r;
}

static int task_clone(Task *t) {
        return TRY(t, syscall(SYS_open_tree, AT_FDCWD, t->name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

int vault_clone(const Vault *v, const char *name) {
        return task_run(&(Task) { .vault = v, .function = task_clone, .name = name });
}

static int task_clone_twice(Task *t) {
        t->twice[0] = OPEN(t, syscall(SYS_open_tree, AT_FDCWD, t->name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        t->twice[1] = TRY(t, syscall(SYS_open_tree, AT_FDCWD, t->name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        t->n_opened = 0;
        return 0;
}

int vault_clone_twice(const Vault *v, const char *name, int ret[static 2]) {
        return task_run(&(Task) { .vault = v, .function = task_clone_twice, .name = name, .twice = ret });
}

static int task_open(Task *t) {
        return TRY(t, open(t->name, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

int vault_open_directory(const Vault *v, const char *name) {
        return task_run(&(Task) { .vault = v, .function = task_open, .name = name });
}

static int task_mark(Task *t) {
        static const char *const names[] = { "u", "u2" };
        struct statfs fs;
        struct stat st;
        int fd;

        fd = OPEN(t, open(t->name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        TRY(t, fstatfs(fd, &fs));
        *t->mark = (VaultMark) { .inodes = fs.f_files - fs.f_ffree, .blocks = fs.f_blocks - fs.f_bfree };
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                TRY(t, fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW));
                t->mark->changed[2 * i] = st.st_ctim.tv_sec;
                t->mark->changed[2 * i + 1] = st.st_ctim.tv_nsec;
        }
        return 0;
}

int vault_mark(const Vault *v, const char *upper, VaultMark *ret) {
        return task_run(&(Task) { .vault = v, .function = task_mark, .name = upper, .mark = ret });
}

/* ---- another root */

typedef struct FsOption {
        const char *key, *value; /* NULL: a flag */
} FsOption;

static int fs_make(Task *t, const char *type, const FsOption *options, size_t n, unsigned attributes) {
        int context;

        context = OPEN(t, syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
        for (size_t i = 0; i < n; i++)
                TRY(t, syscall(SYS_fsconfig, context, options[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
                               options[i].key, options[i].value, 0));
        TRY(t, syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
        return OPEN(t, syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes));
}

static int attach(Task *t, int mount, const char *name) {
        (void) umount2(name, MNT_DETACH); /* of a rebuild that came to nothing */
        if (mkdir(name, 0755) < 0 && errno != EEXIST)
                TRY(t, -1);
        return TRY(t, syscall(SYS_move_mount, mount, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH));
}

static int make_tmpfs(Task *t, const char *size_of) {
        char size[24], inodes[24];
        FsOption options[] = { { "size", size }, { "nr_inodes", inodes }, { "mode", "0755" } };
        struct statfs fs;

        TRY(t, statfs(size_of, &fs));
        snprintf(size, sizeof size, "%llu", (unsigned long long) fs.f_blocks * (unsigned long long) fs.f_bsize);
        snprintf(inodes, sizeof inodes, "%llu", (unsigned long long) fs.f_files);
        return fs_make(t, "tmpfs", options, ELEMENTSOF(options), PLAIN);
}

/* The root directory of an overlay has the attributes of its upper one. */
static int make_like(Task *t, int directory, const char *name) {
        const VaultRebuild *b = t->rebuild;
        char path[64];
        struct stat st;

        snprintf(path, sizeof path, "%s/%s", b->size_of, name);
        TRY(t, fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW));
        if (b->upper_fd < 0)
                TRY(t, mkdirat(directory, name, 0700));
        TRY(t, fchownat(directory, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW));
        return TRY(t, fchmodat(directory, name, st.st_mode & 07777, 0));
}

static int make_upper(Task *t) {
        static const char *const directories[] = { "u", "w", "u2", "w2" };
        const VaultRebuild *b = t->rebuild;
        int mount = b->upper_fd, fd, r;

        if (mount < 0) {
                mount = make_tmpfs(t, b->size_of);
                if (mount < 0)
                        return mount;
        }
        r = attach(t, mount, b->upper);
        if (r < 0 || (b->upper_fd >= 0 && !b->upper_is_like))
                return r;
        fd = OPEN(t, open(b->upper, O_PATH | O_DIRECTORY | O_CLOEXEC));
        for (size_t i = 0; i < ELEMENTSOF(directories) && r >= 0; i++)
                r = make_like(t, fd, directories[i]);
        return r;
}

static int make_overlay(Task *t, const char *lower, const char *suffix) {
        char upper[32], work[32];
        FsOption options[] = {
                { "lowerdir", lower }, { "upperdir", upper }, { "workdir", work },
                { "userxattr", NULL }, { "volatile", NULL },
        };

        snprintf(upper, sizeof upper, "%s/u%s", t->rebuild->upper, suffix);
        snprintf(work, sizeof work, "%s/w%s", t->rebuild->upper, suffix);
        return fs_make(t, "overlay", options, ELEMENTSOF(options), PLAIN | MOUNT_ATTR_NOATIME);
}

static int open_below(int root, const char *path, unsigned flags) {
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC | flags,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };

        return (int) syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* Where a mount goes in the new root; a snapshot of another image need not have the place. */
static int open_place(int root, const char *path, bool directory) {
        char parent[4096];
        int fd, made;

        fd = open_below(root, path, directory ? O_DIRECTORY : 0);
        if (fd >= 0 || errno != ENOENT || strlen(path) >= sizeof parent)
                return fd;
        strcpy(parent, path);
        *strrchr(parent, '/') = 0;
        fd = parent[0] ? open_place(root, parent, true) : open_below(root, "/", O_DIRECTORY);
        if (fd < 0)
                return fd;
        made = directory ? mkdirat(fd, strrchr(path, '/') + 1, 0755)
                         : mknodat(fd, strrchr(path, '/') + 1, S_IFREG | 0644, 0);
        (void) close(fd);
        return made < 0 ? made : open_below(root, path, directory ? O_DIRECTORY : 0);
}

/* All places are looked up before the first mount moves: from there on nothing is expected to fail. */
static int take_mounts_along(Task *t, int old_root, int root) {
        int from[COMPOSITION_MOUNTS_MAX], to[COMPOSITION_MOUNTS_MAX];
        const VaultRebuild *b = t->rebuild;
        struct stat st;

        for (size_t i = 0; i < b->n_mounts; i++) {
                from[i] = OPEN(t, open_below(old_root, b->mounts[i], 0));
                TRY(t, fstat(from[i], &st));
                to[i] = OPEN(t, open_place(root, b->mounts[i], S_ISDIR(st.st_mode)));
        }
        for (size_t i = 0; i < b->n_mounts; i++)
                TRY(t, syscall(SYS_move_mount, from[i], "", to[i], "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
        return 0;
}

/* The new root is attached over the old one, where nobody who lives in the old one sees it, and takes its place by
 * pivot_root(): that moves init and its like, too. */
static int enter_sandbox(Task *t, int root, int usr) {
        int old_root, place, r;

        TRY(t, setns(t->vault->mount_fd, CLONE_NEWNS));
        old_root = OPEN(t, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        TRY(t, syscall(SYS_move_mount, root, "", old_root, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
        if (usr >= 0) {
                place = OPEN(t, open_place(root, "/usr", true));
                TRY(t, syscall(SYS_move_mount, usr, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
        }
        r = take_mounts_along(t, old_root, root);
        if (r < 0) {
                if (fchdir(root) >= 0)
                        (void) umount2(".", MNT_DETACH);
                return r;
        }
        TRY(t, fchdir(root));
        TRY(t, syscall(SYS_pivot_root, ".", "."));
        /* The new root stands: what fails from here on is no failure. */
        (void) umount2(".", MNT_DETACH);
        return 0;
}

static int task_rebuild(Task *t) {
        const VaultRebuild *b = t->rebuild;
        int root, usr = -EBADF, r;

        for (size_t i = 0; i < b->n_attach; i++) {
                r = attach(t, b->attach[i].fd, b->attach[i].name);
                if (r < 0)
                        return r;
        }
        r = make_upper(t);
        if (r < 0)
                return r;
        root = make_overlay(t, b->root_lower, "");
        if (root < 0)
                return root;
        if (b->usr_lower[0]) {
                usr = make_overlay(t, b->usr_lower, "2");
                if (usr < 0)
                        return usr;
        }
        r = enter_sandbox(t, root, usr);
        if (r < 0)
                return r;

        if (b->n_drop > 0 && setns(t->vault->vault_fd, CLONE_NEWNS) < 0)
                return 0;
        for (size_t i = 0; i < b->n_drop; i++)
                if (umount2(b->drop[i], MNT_DETACH) >= 0)
                        (void) rmdir(b->drop[i]);
        return 0;
}

int vault_rebuild(const Vault *v, const VaultRebuild *rebuild) {
        return task_run(&(Task) { .vault = v, .function = task_rebuild, .rebuild = rebuild });
}
