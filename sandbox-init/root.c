/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/sched.h>
#include <linux/stat.h>

#include "sandbox-init/init.h"
#include "sandbox-init/mount-util.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

#define INIT_FILE 3

/* Builds the root out of the mounts that came with ROOT. It is put together in the vault under names relative to it, so
 * that mountinfo shows nobody's path, and inside the user namespace, so that copying up has the rights of the sandbox.
 * The mounts stay attached there: what this sandbox has written can be made the lower layer of others, and of a new root
 * of its own, for which a helper of execd needs nothing of us. The image may be hostile: what is mounted on is opened
 * without following links. */

#define UMOUNT_DETACH 2
#define LOWER_MAX 256 /* of the kernel's for one option */

/* The descriptors of ROOT by name. */
typedef struct RootMounts {
        int dev;
        const int *layers, *frozen, *raw;
        size_t n_layers, n_frozen, n_raw;
        int upper, usr;
} RootMounts;

static RootMounts name_mounts(const Request *request) {
        const InitRoot *m = &request->root;
        size_t next = 1 + m->n_layers;
        RootMounts named = { .dev = request->fds[0], .layers = request->fds + 1, .n_layers = m->n_layers };

        named.upper = m->flags & INIT_ROOT_UPPER ? request->fds[next++] : -EBADF;
        named.usr = m->flags & INIT_ROOT_USR ? request->fds[next++] : -EBADF;
        named.frozen = request->fds + next;
        named.n_frozen = m->n_frozen;
        named.raw = named.frozen + m->n_frozen;
        named.n_raw = m->n_raw;
        return named;
}

static int make_upper(const InitRoot *m) {
        static const char *const directories[] = { "upper/u", "upper/w", "upper/u2", "upper/w2" };
        char size[DECIMAL_MAX], inodes[DECIMAL_MAX];
        FsOption options[] = {
                { "size",      format_u64(m->upper_bytes, size)    },
                { "nr_inodes", format_u64(m->upper_inodes, inodes) },
                { "mode",      "0755"                              },
        };
        int upper;

        upper = (int) TRY(fs_make("tmpfs", options, ELEMENTSOF(options), MOUNT_ATTR_PLAIN, NULL));
        TRY(mount_move(upper, AT_FDCWD, "upper"));
        for (size_t n = 0; n < ELEMENTSOF(directories); n++)
                TRY(SYS(mkdirat, AT_FDCWD, directories[n], 0755));
        close_fd(&upper);
        return 0;
}

/* To directories that are made for them: "l/0", "l/1"... */
static int attach_many(const int *mounts, size_t n_mounts, const char *directory) {
        char path[4 + DECIMAL_MAX] = { directory[0] };

        if (n_mounts > 0)
                TRY(SYS(mkdirat, AT_FDCWD, path, 0755));
        path[1] = '/';
        for (size_t n = 0; n < n_mounts; n++) {
                format_u64(n, path + 2);
                TRY(SYS(mkdirat, AT_FDCWD, path, 0755));
                TRY(mount_move(mounts[n], AT_FDCWD, path));
        }
        return 0;
}

static char *append(char *end, const char *text) {
        size_t n = strlen(text);

        memcpy(end, text, n + 1);
        return end + n;
}

/* Appends "f/0/u:f/1/u", topmost first. */
static char *append_names(char *end, const char *lower, const char *directory, size_t n, const char *suffix) {
        for (size_t i = 0; i < n; i++) {
                if (end != lower)
                        *end++ = ':';
                end = append(end, directory);
                end += strlen(format_u64(i, end));
                end = append(end, suffix);
        }
        return end;
}

/* volatile spares all syncs; the writable layer does not outlive a crash of the host anyway. */
static int make_overlay(const char *lower, const char *upper, const char *work) {
        FsOption options[] = {
                { "lowerdir",  lower },
                { "upperdir",  upper },
                { "workdir",   work  },
                { "userxattr", NULL  },
                { "volatile",  NULL  },
        };
        unsigned attributes = MOUNT_ATTR_PLAIN | MOUNT_ATTR_NOATIME;

        return (int) TRY(fs_make("overlay", options, ELEMENTSOF(options), attributes, NULL));
}

static int make_usr(const RootMounts *mounts) {
        char lower[LOWER_MAX], *end;

        end = append_names(lower, lower, "f/", mounts->n_frozen, "/u2");
        (void) append(end, end == lower ? "usr" : ":usr");
        TRY(SYS(mkdirat, AT_FDCWD, "usr", 0755));
        TRY(mount_move(mounts->usr, AT_FDCWD, "usr"));
        return (int) TRY(make_overlay(lower, "upper/u2", "upper/w2"));
}

/* The root and, with an overlay of its own, its /usr. */
typedef struct Overlays {
        int root, usr;
} Overlays;

static int make_overlays(const InitRoot *m, const RootMounts *mounts, Overlays *ret) {
        char lower[LOWER_MAX], *end;

        if (mounts->upper >= 0)
                TRY(mount_move(mounts->upper, AT_FDCWD, "upper"));
        else
                TRY(make_upper(m));
        TRY(attach_many(mounts->layers, mounts->n_layers, "l"));
        TRY(attach_many(mounts->frozen, mounts->n_frozen, "f"));
        TRY(attach_many(mounts->raw, mounts->n_raw, "r"));

        end = append_names(lower, lower, "f/", mounts->n_frozen, "/u");
        (void) append_names(end, lower, "l/", mounts->n_layers, "");
        ret->root = (int) TRY(make_overlay(lower, "upper/u", "upper/w"));
        ret->usr = mounts->usr >= 0 ? (int) TRY(make_usr(mounts)) : -EBADF;
        return 0;
}

static int make_overlays_in_vault(const Init *i, const RootMounts *mounts, Overlays *ret) {
        int back;

        back = (int) TRY(SYS(openat, i->parked.proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC));
        TRY(SYS(setns, INIT_FD_VAULT, CLONE_NEWNS));
        TRY(make_overlays(&i->request.root, mounts, ret));
        TRY(SYS(setns, back, CLONE_NEWNS));
        close_fd(&back);
        return 0;
}

static int attach_at(int mount, int root, const char *name) {
        int target;

        target = (int) TRY(open_or_make_directory(root, name));
        TRY(mount_move_to(mount, target));
        close_fd(&target);
        return 0;
}

static int attach_sized(SizedMount *s, uint64_t bytes, uint64_t inodes, int root, const char *name) {
        TRY(tmpfs_resize(s->context, bytes, inodes));
        TRY(attach_at(s->mount, root, name));
        close_fd(&s->mount);
        return 0;
}

/* What an image ships in /sys is nothing that a program expects there: an empty one, or none. */
static int hide_sys(int root) {
        int target;

        target = open_target(root, "sys", O_DIRECTORY);
        if (target == -ENOENT)
                return 0;

        TRY(target);
        TRY(mount_bind(AT_FDCWD, "mask/directory", 0, target));
        close_fd(&target);
        return 0;
}

static int attach_all(Parked *p, const InitRoot *m, int dev, int root) {
        TRY(attach_at(p->proc, root, "proc"));
        TRY(attach_at(dev, root, "dev"));
        TRY(attach_at(p->pts, root, "dev/pts"));
        TRY(attach_sized(&p->shm, m->shm_bytes, m->tmp_inodes, root, "dev/shm"));
        TRY(attach_sized(&p->tmp, m->tmp_bytes, m->tmp_inodes, root, "tmp"));
        TRY(attach_sized(&p->run, m->tmp_bytes, m->tmp_inodes, root, "run"));
        TRY(hide_sys(root));
        close_fd(&p->proc);
        close_fd(&p->pts);
        return 0;
}

/* A plain file in place of whatever the image has there, of which a link would lead elsewhere. */
static int write_etc_file(int etc, const char *name, const char *const *parts) {
        int fd;

        (void) SYS(unlinkat, etc, name, 0);
        fd = (int) TRY(SYS(openat, etc, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
        for (; *parts; parts++)
                TRY(SYS(write, fd, *parts, strlen(*parts)));
        close_fd(&fd);
        return 0;
}

static int write_etc(int root, const char *hostname) {
        const char *const hostname_parts[] = { hostname, "\n", NULL };
        const char *const hosts_parts[] = {
                "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 ", hostname, "\n", NULL,
        };
        const char *const nothing[] = { NULL }; /* no name server: there is no network but the loopback */
        int etc;

        etc = (int) TRY(open_or_make_directory(root, "etc"));
        TRY(write_etc_file(etc, "hostname", hostname_parts));
        TRY(write_etc_file(etc, "hosts", hosts_parts));
        TRY(write_etc_file(etc, "resolv.conf", nothing));
        close_fd(&etc);
        return 0;
}

/* Like mkdir -p. Inside the new root, so links of the image lead nowhere but into itself. */
static int make_workdir(const char *workdir) {
        char path[sizeof(((InitRoot *) NULL)->workdir)];
        size_t n = 1;
        long r;

        path[0] = '/';
        for (; workdir[n]; n++) {
                if (workdir[n] == '/') {
                        path[n] = 0;
                        r = SYS(mkdirat, AT_FDCWD, path, 0755);
                        if (r != -EEXIST)
                                TRY(r);
                }
                path[n] = workdir[n];
        }
        path[n] = 0;

        r = SYS(mkdirat, AT_FDCWD, path, 0755);
        if (r != -EEXIST)
                TRY(r);

        r = TRY(SYS(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        (void) SYS(close, r);
        return 0;
}

static int enter_root(int root) {
        TRY(SYS(fchdir, root));
        TRY(SYS(pivot_root, ".", "."));
        TRY(SYS(umount2, ".", UMOUNT_DETACH));
        TRY(SYS(chdir, "/"));
        return 0;
}

/* In an image these places are as they should be; what another sandbox has made of them is its own affair, and no reason
 * that it cannot be cloned. */
static int write_own(const InitRoot *m, int result) {
        return m->n_frozen > 0 ? 0 : result;
}

int init_attach_root(Init *i) {
        const InitRoot *m = &i->request.root;
        RootMounts mounts = name_mounts(&i->request);
        Overlays overlays;

        TRY(make_overlays_in_vault(i, &mounts, &overlays));
        TRY(mount_move(overlays.root, AT_FDCWD, "root"));
        if (overlays.usr >= 0)
                TRY(attach_at(overlays.usr, overlays.root, "usr"));
        TRY(attach_all(&i->parked, m, mounts.dev, overlays.root));
        TRY(write_own(m, write_etc(overlays.root, m->hostname)));
        TRY(enter_root(overlays.root));
        close_fd(&overlays.root);
        close_fd(&overlays.usr);
        TRY(write_own(m, make_workdir(m->workdir)));
        return init_lock_down(m);
}
