/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/probe/probe.h"

/* What of files is in sight: the device nodes, /proc and the mounts. */

static void check_nodes(void) {
        static const struct {
                const char *path;
                unsigned major, minor;
        } nodes[] = {
                { "/dev/full", 1, 7 },   { "/dev/null", 1, 3 },    { "/dev/random", 1, 8 },
                { "/dev/tty", 5, 0 },    { "/dev/urandom", 1, 9 }, { "/dev/zero", 1, 5 },
        };
        static const struct {
                const char *path, *target;
        } links[] = {
                { "/dev/ptmx", "pts/ptmx" },            { "/dev/fd", "/proc/self/fd" },
                { "/dev/stdin", "/proc/self/fd/0" },    { "/dev/stdout", "/proc/self/fd/1" },
                { "/dev/stderr", "/proc/self/fd/2" },
        };
        struct stat st;

        for (size_t i = 0; i < ELEMENTSOF(nodes); i++)
                check(lstat(nodes[i].path, &st) == 0 && S_ISCHR(st.st_mode) &&
                              st.st_rdev == makedev(nodes[i].major, nodes[i].minor),
                      nodes[i].path, "is another device");
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                char target[64] = "";

                (void) !readlink(links[i].path, target, sizeof target - 1);
                check(strcmp(target, links[i].target) == 0, links[i].path, "leads to '%s'", target);
        }
        check(open("/dev/probe", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0 && errno == EROFS, "/dev is read-only", "%m");
        check(open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC) < 0, "no console of the host", "opened");
}

void check_dev(void) {
        static const char *const known[] = { ".", "..", "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random",
                                             "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero" };
        static const char *const wanted[] = { "full", "null", "ptmx", "random", "tty", "urandom", "zero" };
        struct dirent *entry;
        DIR *d = opendir("/dev");
        struct stat st;

        while (d && (entry = readdir(d))) {
                bool is_known = false;

                for (size_t i = 0; i < ELEMENTSOF(known); i++)
                        is_known = is_known || strcmp(known[i], entry->d_name) == 0;
                if (!is_known || (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISBLK(st.st_mode)))
                        check(false, "/dev", "has %s", entry->d_name);
        }
        check(d != NULL, "/dev is there", "%m");
        if (d)
                closedir(d);
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                char path[64];

                snprintf(path, sizeof path, "/dev/%s", wanted[i]);
                check(access(path, R_OK | W_OK) == 0, path, "%m");
        }
        check_nodes();
        check(mknod("/tmp/probe-c", S_IFCHR | 0600, makedev(1, 3)) < 0 && errno == EPERM, "mknod of null", "%m");
        check(mknod("/tmp/probe-b", S_IFBLK | 0600, makedev(7, 0)) < 0 && errno == EPERM, "mknod of a disk", "%m");
}

/* Or not there at all. */
static bool is_bare(const char *path) {
        struct dirent *entry;
        DIR *d = opendir(path);
        bool bare = true;

        while (d && (entry = readdir(d)))
                bare = bare && entry->d_name[0] == '.';
        if (d)
                closedir(d);
        return bare;
}

void check_proc_files(void) {
        static const char *const unwritable[] = { "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
                                                  "/proc/sys/kernel/modprobe", "/proc/sys/kernel/ns_last_pid",
                                                  "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/overcommit_memory" };
        static const char *const masked[] = { "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list",
                                              "/proc/sched_debug", "/proc/latency_stats", "/proc/kmsg", "/proc/kpagecount",
                                              "/proc/kpageflags", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/iomem",
                                              "/proc/ioports", "/proc/interrupts", "/proc/kpagecgroup",
                                              "/proc/timer_stats" };
        static const char *const directories[] = { "/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware",
                                                   "/sys/kernel", "/sys/fs" };
        const char *text;

        for (size_t i = 0; i < ELEMENTSOF(unwritable); i++) {
                int fd = open(unwritable[i], O_WRONLY | O_CLOEXEC);

                check(fd < 0 && (errno == EROFS || errno == EACCES || errno == ENOENT || errno == EPERM), unwritable[i],
                      "opened for writing (%m)");
                if (fd >= 0)
                        close(fd);
        }
        for (size_t i = 0; i < ELEMENTSOF(masked); i++)
                check(slurp(masked[i])[0] == 0, masked[i], "has contents");
        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                check(is_bare(directories[i]), directories[i], "has entries");
        check(atoi(slurp("/proc/sys/user/max_user_namespaces")) == 0, "max_user_namespaces is 0", "%s",
              slurp("/proc/sys/user/max_user_namespaces"));
        text = slurp("/proc/kallsyms");
        check(text[0] == 0 || strncmp(text, "0000000000000000 ", 17) == 0, "/proc/kallsyms", "%.40s", text);
}

/* The whole table: what is mounted anywhere else is a failure, too. */
static const struct {
        const char *point, *flags, *type, *options; /* options: NULL for whatever */
        bool may_lack;
} mount_rows[] = {
        { "/",                   "rw,nosuid,nodev,noatime",   "overlay", "userxattr" },
        { "/usr",                "rw,nosuid,nodev,noatime",   "overlay", "userxattr", .may_lack = true },
        { "/proc",               "rw,nosuid,nodev,noexec",    "proc",    NULL },
        { "/proc/sys",           "ro,nosuid,nodev,noexec",    "proc",    NULL },
        { "/proc/bus",           "ro,nosuid,nodev,noexec",    "proc",    NULL, .may_lack = true },
        { "/proc/irq",           "ro,nosuid,nodev,noexec",    "proc",    NULL, .may_lack = true },
        { "/proc/fs",            "ro,nosuid,nodev,noexec",    "proc",    NULL, .may_lack = true },
        { "/proc/sysrq-trigger", "ro,nosuid,nodev,noexec",    "proc",    NULL, .may_lack = true },
        { "/sys",                "ro,nosuid,nodev,noexec",    "tmpfs",   NULL, .may_lack = true },
        { "/dev",                "ro,nosuid,noexec",          "tmpfs",   "size=64k" },
        { "/dev/pts",            "rw,nosuid,noexec",          "devpts",  "gid=" },
        { "/dev/shm",            "rw,nosuid,nodev,noexec",    "tmpfs",   "size=" },
        { "/tmp",                "rw,nosuid,nodev",           "tmpfs",   "nr_inodes=" },
        { "/run",                "rw,nosuid,nodev",           "tmpfs",   "nr_inodes=" },
};

static const char *const node_mounts[] = { "/dev/full", "/dev/null",    "/dev/random",
                                           "/dev/tty",  "/dev/urandom", "/dev/zero" };

typedef struct MountLine {
        char root[256], point[256], flags[256], type[64], options[1024];
} MountLine;

/* "36 35 98:0 /root /point flags optional... - type source options" */
static bool parse_mount(const char *line, MountLine *ret) {
        const char *behind = strstr(line, " - ");

        *ret = (MountLine) {};
        return behind && sscanf(line, "%*d %*d %*s %255s %255s %255s", ret->root, ret->point, ret->flags) == 3 &&
               sscanf(behind, " - %63s %*s %1023s", ret->type, ret->options) >= 1;
}

static bool has_flags(const char *found, const char *wanted) {
        char copy[128], *state = NULL;

        snprintf(copy, sizeof copy, "%s", wanted);
        for (char *flag = strtok_r(copy, ",", &state); flag; flag = strtok_r(NULL, ",", &state)) {
                const char *at = strstr(found, flag);
                char behind = at ? at[strlen(flag)] : 'x';

                if (!at || (at > found && at[-1] != ',') || (behind != ',' && behind != 0))
                        return false;
        }
        return true;
}

/* Masks are a null file or an empty read-only directory over something of /proc. */
static void check_one_mount(const MountLine *m, bool *seen) {
        for (size_t i = 0; i < ELEMENTSOF(mount_rows); i++)
                if (strcmp(m->point, mount_rows[i].point) == 0) {
                        seen[i] = true;
                        check(has_flags(m->flags, mount_rows[i].flags), m->point, "flags %s", m->flags);
                        check(strcmp(m->type, mount_rows[i].type) == 0, m->point, "type %s", m->type);
                        check(!mount_rows[i].options || strstr(m->options, mount_rows[i].options), m->point, "options %s",
                              m->options);
                        return;
                }
        for (size_t i = 0; i < ELEMENTSOF(node_mounts); i++)
                if (strcmp(m->point, node_mounts[i]) == 0) {
                        check(has_flags(m->flags, "nosuid,noexec"), m->point, "flags %s", m->flags);
                        check(strchr(m->root + 1, '/') == NULL, m->point, "shows the path %s", m->root);
                        return;
                }
        check(strncmp(m->point, "/proc/", 6) == 0 && has_flags(m->flags, "nosuid,noexec") &&
                      (has_flags(m->flags, "ro") || strcmp(m->root, "/null") == 0),
              "mounts are those of the table", "%s %s %s %s", m->point, m->root, m->type, m->flags);
}

static void check_mount_table(const char *text) {
        bool seen[ELEMENTSOF(mount_rows)] = {};
        MountLine m;

        for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
                char copy[4096];

                snprintf(copy, sizeof copy, "%.*s", (int) strcspn(line, "\n"), line);
                if (parse_mount(copy, &m))
                        check_one_mount(&m, seen);
        }
        for (size_t i = 0; i < ELEMENTSOF(mount_rows); i++)
                check(seen[i] || mount_rows[i].may_lack, mount_rows[i].point, "not mounted");
}

/* A copy-up must not go on with the host's privileges, nor leave traces that another mount would follow. */
static void check_root_options(const char *text) {
        static const char *const words[] = { "redirect_dir=on", "metacopy=on", "index=on" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                check(!strstr(text, words[i]), words[i], "stands in mountinfo");
}

static void check_modes(void) {
        static const struct {
                const char *path;
                mode_t mode;
        } rows[] = { { "/tmp", 01777 }, { "/run", 0755 }, { "/dev", 0755 }, { "/dev/shm", 01777 }, { "/dev/pts/ptmx", 0666 } };
        struct stat st;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check(stat(rows[i].path, &st) == 0 && (st.st_mode & 07777) == rows[i].mode && st.st_uid == 0, rows[i].path,
                      "mode %o, owner %u", st.st_mode & 07777, st.st_uid);
}

void check_mounts(void) {
        static const char *const words[] = { "/var/lib/sandbox", "/run/sandboxd", "/home", "shared:", "master:", "/hostusr",
                                             "lowerdir=/", "upperdir=/" };
        static char text[65536];
        struct stat root, parent;

        snprintf(text, sizeof text, "%s", slurp("/proc/self/mountinfo"));
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                check(!strstr(text, words[i]), words[i], "stands in mountinfo");
        check_mount_table(text);
        check_root_options(text);
        check_modes();
        check(stat("/", &root) == 0 && stat("/..", &parent) == 0 && root.st_ino == parent.st_ino, "/.. is /", "%m");
        check(is_bare("/sys"), "/sys is bare", "it has entries");
        check(mount("t", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM, "mount tmpfs", "%m");
        check(mount("/", "/mnt", NULL, MS_BIND, NULL) < 0 && errno == EPERM, "mount --bind", "%m");
        check(umount2("/proc", 0) < 0 && errno == EPERM, "umount", "%m");
}

