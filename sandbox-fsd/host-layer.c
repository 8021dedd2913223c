/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/host-layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* Part of the key: a change of what is generated is a new layer. */
#define LAYER_FORMAT "2"
#define LINK_MAX_BYTES 4096U
#define FILE_MAX_BYTES (4 * MiB)
#define ENTRIES_MAX 20000U
#define DEPTH_MAX 8U

typedef struct GeneratedFile {
        const char *path, *text;
} GeneratedFile;

typedef struct EmptyDirectory {
        const char *path;
        mode_t mode;
        uid_t owner;
} EmptyDirectory;

/* Taken over if they are links into usr/, as everywhere with a merged /usr. */
static const char *const usr_links[] = { "bin", "lib", "lib32", "lib64", "libx32", "sbin" };

/* The last component may be a pattern. */
static const char *const etc_entries[] = {
        "etc/alternatives",
        "etc/bash.bashrc",
        "etc/ca-certificates/extracted",
        "etc/crypto-policies",
        "etc/debian_version",
        "etc/ethertypes",
        "etc/fonts",
        "etc/gai.conf",
        "etc/host.conf",
        "etc/inputrc",
        "etc/java-*",
        "etc/ld.so.cache",
        "etc/ld.so.conf",
        "etc/ld.so.conf.d",
        "etc/locale.alias",
        "etc/localtime",
        "etc/login.defs",
        "etc/lsb-release",
        "etc/magic",
        "etc/magic.mime",
        "etc/mime.types",
        "etc/os-release",
        "etc/perl",
        "etc/pki/ca-trust/extracted",
        "etc/pki/tls/certs",
        "etc/pki/tls/openssl.cnf",
        "etc/profile",
        "etc/protocols",
        "etc/python3*",
        "etc/redhat-release",
        "etc/rpc",
        "etc/services",
        "etc/shells",
        "etc/ssl/cert.pem",
        "etc/ssl/certs",
        "etc/ssl/openssl.cnf",
        "etc/terminfo",
        "etc/timezone",
        "etc/xattr.conf",
};

/* Mount points of the sandbox, and what programs expect to be there. */
static const EmptyDirectory empty_directories[] = {
        { "dev",          0755,  0    },
        { "etc",          0755,  0    },
        { "etc/pam.d",    0755,  0    },
        { "home",         0755,  0    },
        { "home/sandbox", 0755,  1000 },
        { "media",        0755,  0    },
        { "mnt",          0755,  0    },
        { "opt",          0755,  0    },
        { "proc",         0555,  0    },
        { "root",         0700,  0    },
        { "run",          0755,  0    },
        { "srv",          0755,  0    },
        { "sys",          0555,  0    },
        { "tmp",          01777, 0    },
        { "usr",          0755,  0    },
        { "var",          0755,  0    },
        { "var/cache",    0755,  0    },
        { "var/lib",      0755,  0    },
        { "var/log",      0755,  0    },
        { "var/tmp",      01777, 0    },
        { "workspace",    0755,  0    },
};

static const GeneratedFile generated_links[] = {
        { "etc/mtab", "../proc/self/mounts" },
        { "var/run",  "/run"                },
};

/* Accounts are never the host's: who its users are is nobody's business, and their ids mean others in there. */
static const GeneratedFile generated_files[] = {
        { "etc/passwd",
          "root:x:0:0:root:/root:/bin/sh\n"
          "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
          "sandbox:x:1000:1000:sandbox:/home/sandbox:/bin/sh\n"
          "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
        { "etc/group",
          "root:x:0:\n"
          "daemon:x:1:\n"
          "tty:x:5:\n"
          "staff:x:50:\n"
          "users:x:100:\n"
          "sandbox:x:1000:\n"
          "nogroup:x:65534:\n" },
        { "etc/shadow", /* nobody has a password; su wants an entry all the same */
          "root:*:19000:0:99999:7:::\n"
          "daemon:*:19000:0:99999:7:::\n"
          "sandbox:*:19000:0:99999:7:::\n"
          "nobody:*:19000:0:99999:7:::\n" },
        { "etc/pam.d/other",
          "auth sufficient pam_rootok.so\n"
          "auth required pam_unix.so\n"
          "account required pam_unix.so\n"
          "password required pam_unix.so\n"
          "session required pam_permit.so\n" },
        { "etc/nsswitch.conf",
          "passwd: files\n"
          "group: files\n"
          "shadow: files\n"
          "hosts: files dns\n"
          "networks: files\n"
          "protocols: files\n"
          "services: files\n"
          "ethers: files\n"
          "rpc: files\n" },
};

/* One entry of the host, path relative to its root. */
typedef struct Visit {
        int directory_fd;
        const char *name, *path;
        const struct stat *st;
} Visit;

typedef int (*Visitor)(const Visit *visit, void *userdata);

typedef struct HostWalk {
        Visitor visitor;
        void *userdata;
        unsigned n_entries;
        int *watch_fd; /* NULL or -EBADF: nothing is watched */
} HostWalk;

/* By descriptor: what is watched is what is read. Before it is read, so that nothing falls in between. */
static void watch(HostWalk *w, int directory_fd) {
        char path[64];

        if (!w->watch_fd || *w->watch_fd < 0)
                return;
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", directory_fd);
        if (inotify_add_watch(*w->watch_fd, path, IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_DELETE_SELF |
                              IN_MOVE | IN_MOVE_SELF | IN_ONLYDIR) < 0)
                *w->watch_fd = safe_close(*w->watch_fd);
}

static int visit_directory(HostWalk *w, int directory_fd, const char *path, const char *pattern, unsigned depth);

/* Bounded in entries and depth: /etc is the operator's, and may hold whole trees below a name that we take. */
static int visit_entry(HostWalk *w, int directory_fd, const char *directory, const char *name, unsigned depth) {
        _cleanup_free_ char *path = NULL;
        struct stat st;
        int fd, r;

        if (fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0; /* what a host does not have, it does not have */
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
                return 0;
        if (w->n_entries++ >= ENTRIES_MAX || depth > DEPTH_MAX)
                return -E2BIG;
        if (asprintf(&path, "%s/%s", directory, name) < 0)
                return -ENOMEM;
        r = w->visitor(&(Visit) { directory_fd, name, path, &st }, w->userdata);
        if (r < 0 || !S_ISDIR(st.st_mode))
                return r;

        fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? 0 : visit_directory(w, fd, path, "*", depth + 1);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int list_matching(DIR *dir, const char *pattern, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        const struct dirent *entry;
        int r;

        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || fnmatch(pattern, entry->d_name, FNM_NOESCAPE) != 0)
                        continue;
                r = strv_extend(&names, entry->d_name);
                if (r < 0)
                        return r;
        }
        if (names)
                qsort(names, strv_length(names), sizeof *names, compare_names);
        *ret = TAKE_PTR(names);
        return 0;
}

/* Sorted, so that the key does not depend on the directory's order. Takes the descriptor over. */
static int visit_directory(HostWalk *w, int directory_fd, const char *path, const char *pattern, unsigned depth) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_closedir_ DIR *dir = NULL;
        int r;

        watch(w, directory_fd);
        r = directory_from_fd(directory_fd, &dir);
        if (r < 0)
                return r;
        r = list_matching(dir, pattern, &names);
        if (r >= 0)
                STRV_FOREACH(name, names) {
                        r = visit_entry(w, dirfd(dir), path, *name, depth);
                        if (r < 0)
                                break;
                }
        return r;
}

/* Of a directory that is not there yet, or a link to another one tomorrow, those above it tell. */
static void watch_parents(HostWalk *w, int root_fd, const char *path) {
        if (!w->watch_fd || *w->watch_fd < 0)
                return;
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_free_ char *directory = strndup(path, (size_t) (slash - path));
                _cleanup_close_ int fd = directory ? openat(root_fd, directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

                if (!directory)
                        *w->watch_fd = safe_close(*w->watch_fd);
                if (fd < 0)
                        return;
                watch(w, fd);
        }
}

static int walk_host(int root_fd, int *watch_fd, Visitor visitor, void *userdata) {
        HostWalk w = { .visitor = visitor, .userdata = userdata, .watch_fd = watch_fd };
        int r;

        watch(&w, root_fd);

        for (size_t i = 0; i < ELEMENTSOF(etc_entries); i++) {
                const char *slash = strrchr(etc_entries[i], '/');
                _cleanup_free_ char *directory = strndup(etc_entries[i], (size_t) (slash - etc_entries[i]));
                int fd;

                if (!directory)
                        return -ENOMEM;
                watch_parents(&w, root_fd, directory);
                fd = openat(root_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                r = visit_directory(&w, fd, directory, slash + 1, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where /bin is a directory of its own there is nothing of it in /usr, and so nothing that we could show. */
static int read_usr_link(int root_fd, const char *name, char target[LINK_MAX_BYTES]) {
        ssize_t n = readlinkat(root_fd, name, target, LINK_MAX_BYTES - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return startswith(target, "usr/") || startswith(target, "/usr/") ? 0 : -EINVAL;
}

static void mix(uint64_t hash[2], const void *data, size_t n) {
        for (size_t i = 0; i < n; i++) {
                hash[0] = (hash[0] ^ ((const unsigned char *) data)[i]) * UINT64_C(1099511628211);
                hash[1] = (hash[1] + ((const unsigned char *) data)[i]) * UINT64_C(6364136223846793005) + 1;
        }
}

/* Inode, size and time stand for the content: reading some hundred files for every sandbox would be the better part of
 * its start. */
static int visit_hash(const Visit *v, void *userdata) {
        uint64_t *hash = userdata;

        mix(hash, v->path, strlen(v->path) + 1);
        mix(hash, &v->st->st_mode, sizeof v->st->st_mode);
        /* A directory changes its times also by what is not taken; what is in it is hashed by itself. */
        if (S_ISDIR(v->st->st_mode))
                return 0;
        mix(hash, &v->st->st_ino, sizeof v->st->st_ino);
        mix(hash, &v->st->st_size, sizeof v->st->st_size);
        mix(hash, &v->st->st_mtim, sizeof v->st->st_mtim);
        return 0;
}

int host_layer_key(int root_fd, int *watch_fd, char ret[HOST_LAYER_KEY_MAX]) {
        uint64_t hash[2] = { UINT64_C(14695981039346656037), 0 };
        char target[LINK_MAX_BYTES];
        int r;

        mix(hash, LAYER_FORMAT, strlen(LAYER_FORMAT));
        for (size_t i = 0; i < ELEMENTSOF(usr_links); i++)
                if (read_usr_link(root_fd, usr_links[i], target) >= 0)
                        mix(hash, target, strlen(target) + 1);
        r = walk_host(root_fd, watch_fd, visit_hash, hash);
        if (r < 0)
                return r;
        (void) snprintf(ret, HOST_LAYER_KEY_MAX, "host-%016llx%016llx", (unsigned long long) hash[0],
                        (unsigned long long) hash[1]);
        return 0;
}

static int copy_link(const Visit *v, int target_fd) {
        char target[LINK_MAX_BYTES];
        ssize_t n;

        n = readlinkat(v->directory_fd, v->name, target, sizeof target - 1);
        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, target_fd, v->path) < 0 ? -errno : 0;
}

/* What we may not read, or what is too long, is left out: better a sandbox without that file than no sandbox. */
static int copy_file(const Visit *v, int target_fd) {
        _cleanup_close_ int from_fd = -EBADF, to_fd = -EBADF;
        const struct timespec times[] = { v->st->st_mtim, v->st->st_mtim };
        _cleanup_free_ char *text = NULL;
        ssize_t n;
        int r;

        from_fd = openat(v->directory_fd, v->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (from_fd < 0 || (uint64_t) v->st->st_size > FILE_MAX_BYTES)
                return 0;
        text = malloc((size_t) v->st->st_size + 1);
        if (!text)
                return -ENOMEM;
        n = loop_read(from_fd, text, (size_t) v->st->st_size);
        if (n < 0)
                return (int) n;

        to_fd = openat(target_fd, v->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
                       v->st->st_mode & 0111 ? 0755 : 0644);
        if (to_fd < 0)
                return -errno;
        r = loop_write(to_fd, text, (size_t) n);
        if (r < 0)
                return r;
        return futimens(to_fd, times) < 0 ? -errno : 0;
}

/* The directories above, which may be none of the table. */
static int make_parents(int target_fd, const char *path) {
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_free_ char *directory = strndup(path, (size_t) (slash - path));

                if (!directory)
                        return -ENOMEM;
                if (mkdirat(target_fd, directory, 0755) < 0 && errno != EEXIST)
                        return -errno;
        }
        return 0;
}

static int visit_copy(const Visit *v, void *userdata) {
        int target_fd = PTR_TO_INT(userdata), r;

        /* What not everybody on the host may read is not for a stranger's program either. */
        if (!S_ISLNK(v->st->st_mode) && !(v->st->st_mode & S_IROTH))
                return 0;
        r = make_parents(target_fd, v->path);
        if (r < 0)
                return r;
        if (S_ISLNK(v->st->st_mode))
                return copy_link(v, target_fd);
        if (S_ISREG(v->st->st_mode))
                return copy_file(v, target_fd);
        return mkdirat(target_fd, v->path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_directories(int target_fd) {
        for (size_t i = 0; i < ELEMENTSOF(empty_directories); i++) {
                const EmptyDirectory *d = &empty_directories[i];

                if (mkdirat(target_fd, d->path, d->mode) < 0)
                        return -errno;
                if (d->owner != 0 && fchownat(target_fd, d->path, d->owner, d->owner, 0) < 0)
                        return -errno;
        }
        return 0;
}

static int make_links(int root_fd, int target_fd) {
        char target[LINK_MAX_BYTES];

        for (size_t i = 0; i < ELEMENTSOF(usr_links); i++)
                if (read_usr_link(root_fd, usr_links[i], target) >= 0 &&
                    symlinkat(target, target_fd, usr_links[i]) < 0)
                        return -errno;
        for (size_t i = 0; i < ELEMENTSOF(generated_links); i++)
                if (symlinkat(generated_links[i].text, target_fd, generated_links[i].path) < 0)
                        return -errno;
        return 0;
}

static int make_files(int target_fd) {
        for (size_t i = 0; i < ELEMENTSOF(generated_files); i++) {
                const GeneratedFile *f = &generated_files[i];
                _cleanup_close_ int fd = -EBADF;
                int r;

                fd = openat(target_fd, f->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
                if (fd < 0)
                        return -errno;
                r = loop_write(fd, f->text, strlen(f->text));
                if (r < 0)
                        return r;
        }
        return 0;
}

int host_layer_build(int root_fd, int target_fd) {
        int r;

        r = make_directories(target_fd);
        if (r >= 0)
                r = make_links(root_fd, target_fd);
        if (r >= 0)
                r = make_files(target_fd);
        if (r >= 0)
                r = walk_host(root_fd, /* watch_fd= */ NULL, visit_copy, INT_TO_PTR(target_fd));
        return r;
}
