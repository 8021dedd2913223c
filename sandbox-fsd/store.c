/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/quota.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/volume-spec.h"

/* All names below the store are made here, and all of them are ours: an id, a hash, or random. A name takes effect by
 * rename(), so what is found under it is whole, and what is not is recognized by its prefix. */

/* Others may pass through, since sandbox-execd opens what we name to it, but neither list nor enter a layer. */
#define DIRECTORY_MODE 0711
#define LAYER_MODE 0700

static int make_directory(int parent_fd, const char *name) {
        if (mkdirat(parent_fd, name, DIRECTORY_MODE) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

static int open_directory(int parent_fd, const char *name) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

static int make_and_open(int parent_fd, const char *name) {
        int r = make_directory(parent_fd, name);

        return r < 0 ? r : open_directory(parent_fd, name);
}

int store_open(const char *path, Store *ret) {
        _cleanup_close_ int fd = -EBADF;
        Store s = STORE_NULL;

        fd = make_and_open(AT_FDCWD, path);
        if (fd < 0)
                return fd;
        s.images_fd = make_and_open(fd, "images");
        if (s.images_fd < 0)
                return s.images_fd;
        s.roots_fd = make_and_open(fd, "roots");
        s.snapshots_fd = s.roots_fd < 0 ? s.roots_fd : make_and_open(fd, "snapshots");
        s.volumes_fd = s.snapshots_fd < 0 ? s.snapshots_fd : make_and_open(fd, "volumes");
        if (s.volumes_fd < 0) {
                int r = s.volumes_fd;

                store_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}

void store_done(Store *s) {
        s->images_fd = safe_close(s->images_fd);
        s->roots_fd = safe_close(s->roots_fd);
        s->snapshots_fd = safe_close(s->snapshots_fd);
        s->volumes_fd = safe_close(s->volumes_fd);
}

/* O_PATH, because that is all that execd needs to find it in its own mount namespace, and all that is ours to give. */
int store_open_layer(const Store *s, const char *key) {
        int fd = openat(s->images_fd, key, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

int store_random_name(const char *prefix, char **ret) {
        uint64_t random;

        if (getrandom(&random, sizeof random, 0) != sizeof random)
                return -EIO;
        return asprintf(ret, "%s%016llx", prefix, (unsigned long long) random) < 0 ? -ENOMEM : 0;
}

/* A directory that belongs to root of the sandboxes. The mode comes first: afterwards it is not ours to change. */
int store_make_foreign(int parent_fd, const char *name, mode_t mode) {
        _cleanup_close_ int fd = -EBADF;

        if (mkdirat(parent_fd, name, 0700) < 0)
                return -errno;
        fd = open_directory(parent_fd, name);
        if (fd < 0)
                return fd;
        if (fchmod(fd, mode) < 0 || fchown(fd, FOREIGN_BASE, FOREIGN_BASE) < 0)
                return -errno;
        return 0;
}

int store_make_temporary(const Store *s, char **ret_name, int *ret_fd) {
        _cleanup_free_ char *name = NULL;
        int fd, r;

        r = store_random_name(STORE_TEMPORARY_PREFIX, &name);
        if (r >= 0)
                r = store_make_foreign(s->images_fd, name, LAYER_MODE);
        if (r < 0)
                return r;
        fd = store_open_layer(s, name);
        if (fd < 0)
                return fd;
        *ret_name = TAKE_PTR(name);
        *ret_fd = fd;
        return 0;
}

/* Never over another one: sandboxes may be running on it. */
int store_publish(const Store *s, const char *temporary, const char *key) {
        if (renameat2(s->images_fd, temporary, s->images_fd, key, RENAME_NOREPLACE) < 0)
                return -errno;
        return 0;
}

int store_read_link(int directory_fd, const char *name, char **ret) {
        char target[256];
        ssize_t n;

        n = readlinkat(directory_fd, name, target, sizeof target);
        if (n < 0)
                return -errno;
        if ((size_t) n >= sizeof target)
                return -EBADMSG;
        *ret = strndup(target, (size_t) n);
        return *ret ? 0 : -ENOMEM;
}

int store_get_link(const Store *s, const char *name, char **ret_key) {
        return store_read_link(s->images_fd, name, ret_key);
}

/* In one step: there is no moment without one. */
int store_put_link(int directory_fd, const char *prefix, const char *name, const char *target) {
        _cleanup_free_ char *temporary = NULL;
        int r;

        r = store_random_name(prefix, &temporary);
        if (r < 0)
                return r;
        if (symlinkat(target, directory_fd, temporary) < 0)
                return -errno;
        if (renameat(directory_fd, temporary, directory_fd, name) < 0) {
                r = -errno;
                (void) unlinkat(directory_fd, temporary, 0);
                return r;
        }
        return 0;
}

/* Over an old one, unlike layers: a link that somebody has just read stays right, its layer does not go away. */
int store_set_link(const Store *s, const char *name, const char *key) {
        return store_put_link(s->images_fd, STORE_TEMPORARY_PREFIX, name, key);
}

/* The children first, then the directory goes to the range: it is whole before it has its name. */
static int fill_root(int fd) {
        static const struct {
                const char *name;
                mode_t mode;
        } children[] = {
                { "u",  0755 }, /* becomes the sandbox's root directory */
                { "u2", 0755 }, /* and its /usr */
                { "w",  0700 },
                { "w2", 0700 },
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(children); i++) {
                r = store_make_foreign(fd, children[i].name, children[i].mode);
                if (r < 0)
                        return r;
        }
        return fchown(fd, FOREIGN_BASE, FOREIGN_BASE) < 0 ? -errno : 0;
}

/* The volume's own directory stays ours: what execd writes down at it no sandbox changes. */
static int fill_volume(int fd) {
        return store_make_foreign(fd, "data", 0755);
}

/* Made under the prefix of what is to be deleted: if we die before it has its name, the next start clears it away. */
static int make_filled(int parent_fd, const char *id, int (*fill)(int fd)) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = store_random_name(STORE_GONE_PREFIX, &name);
        if (r < 0)
                return r;
        if (mkdirat(parent_fd, name, LAYER_MODE) < 0)
                return -errno;
        fd = open_directory(parent_fd, name);
        if (fd < 0)
                return fd;
        r = fill(fd);
        if (r >= 0 && renameat2(parent_fd, name, parent_fd, id, RENAME_NOREPLACE) < 0)
                r = -errno;
        return r;
}

static int open_or_make(int parent_fd, const char *id, int (*fill)(int fd), int *ret_fd) {
        int fd, r;

        fd = openat(parent_fd, id, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
                r = make_filled(parent_fd, id, fill);
                if (r < 0)
                        return r;
                fd = openat(parent_fd, id, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        }
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

bool store_has_quotas(const Store *s) {
        struct fs_quota_statv state = { .qs_version = FS_QSTATV_VERSION1 };

        /* Despite its name not XFS's alone. */
        return syscall(SYS_quotactl_fd, s->roots_fd, QCMD(Q_XGETQSTATV, PRJQUOTA), 0, &state) >= 0 &&
               state.qs_flags & FS_QUOTA_PDQ_ENFD;
}

int store_open_root(const Store *s, const char *id, int *ret_fd) {
        assert(sandbox_id_is_valid(id));
        return open_or_make(s->roots_fd, id, fill_root, ret_fd);
}

int store_make_root(const Store *s, const char *name) {
        return make_filled(s->roots_fd, name, fill_root);
}

int store_open_volume(const Store *s, const char *id, int *ret_fd) {
        assert(object_id_is_valid(id, VOLUME_ID_PREFIX));
        return open_or_make(s->volumes_fd, id, fill_volume, ret_fd);
}

/* Within the same directory, which is ours: moving a directory of another owner elsewhere would need a right on itself,
 * since its ".." changes. */
static int retire(int parent_fd, const char *id, char **ret_name) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_random_name(STORE_GONE_PREFIX, &name);
        if (r < 0)
                return r;
        if (renameat(parent_fd, id, parent_fd, name) < 0)
                return -errno;
        *ret_name = TAKE_PTR(name);
        return 0;
}

int store_retire_root(const Store *s, const char *id, char **ret_name) {
        assert(sandbox_id_is_valid(id));
        return retire(s->roots_fd, id, ret_name);
}

int store_retire_volume(const Store *s, const char *id, char **ret_name) {
        assert(object_id_is_valid(id, VOLUME_ID_PREFIX));
        return retire(s->volumes_fd, id, ret_name);
}

static int make_old_name(const char *id, const char *snapshot, char **ret) {
        return asprintf(ret, STORE_OLD_PREFIX "%s-%s", id, snapshot) < 0 ? -ENOMEM : 0;
}

/* One of that name is of an earlier time: it is not the one that this restore would be undone with. */
int store_set_root_aside(const Store *s, const char *id, const char *snapshot) {
        _cleanup_free_ char *name = NULL, *prefix = NULL, *earlier = NULL;
        int r;

        r = make_old_name(id, snapshot, &name);
        if (r >= 0)
                r = make_old_name(id, "", &prefix);
        if (r >= 0)
                r = store_random_name(prefix, &earlier);
        if (r < 0)
                return r;
        if (renameat(s->roots_fd, name, s->roots_fd, earlier) < 0 && errno != ENOENT)
                return -errno;
        return renameat(s->roots_fd, id, s->roots_fd, name) < 0 && errno != ENOENT ? -errno : 0;
}

static int list_old_roots(const Store *s, const char *id, char ***ret_names) {
        _cleanup_free_ char *prefix = NULL;
        int r;

        r = make_old_name(id, "", &prefix);
        return r < 0 ? r : store_list_leftovers(s->roots_fd, prefix, ret_names);
}

int store_take_root_back(const Store *s, const char *id, const char *snapshot, char **ret_name) {
        _cleanup_free_ char *old = NULL, *name = NULL;
        int r;

        r = make_old_name(id, snapshot, &old);
        if (r < 0)
                return r;
        if (faccessat(s->roots_fd, old, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        r = retire(s->roots_fd, id, &name);
        if (r < 0 && r != -ENOENT)
                return r;
        *ret_name = TAKE_PTR(name);
        return renameat2(s->roots_fd, old, s->roots_fd, id, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int store_retire_old_root(const Store *s, const char *id, char **ret_name) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *name = NULL;
        int r;

        r = list_old_roots(s, id, &names);
        if (r < 0)
                return r;
        if (!names)
                return -ENOENT;
        r = store_random_name(STORE_GONE_PREFIX, &name);
        if (r < 0)
                return r;
        if (renameat(s->roots_fd, names[0], s->roots_fd, name) < 0)
                return -errno;
        *ret_name = TAKE_PTR(name);
        return 0;
}

typedef struct UseName {
        char text[sizeof(STORE_USE_PREFIX) + SANDBOX_ID_LENGTH];
} UseName;

static UseName use_name(const char *id) {
        UseName name;

        (void) snprintf(name.text, sizeof name.text, STORE_USE_PREFIX "%s", id);
        return name;
}

int store_set_use(const Store *s, const char *id, const char *layer) {
        UseName name = use_name(id);

        layer = layer ? layer : STORE_NO_LAYER;
        if (symlinkat(layer, s->roots_fd, name.text) >= 0)
                return 0;
        /* Asked for a second time: then, too, nobody has the first answer any more. */
        if (errno != EEXIST || unlinkat(s->roots_fd, name.text, 0) < 0)
                return -errno;
        return symlinkat(layer, s->roots_fd, name.text) < 0 ? -errno : 0;
}

void store_forget_use(const Store *s, const char *id) {
        (void) unlinkat(s->roots_fd, use_name(id).text, 0);
        store_forget_snapshots(s, id);
}

int store_get_use(const Store *s, const char *id, char **ret_layer) {
        return store_read_link(s->roots_fd, use_name(id).text, ret_layer);
}

int store_retire_layer(const Store *s, const char *layer, char **ret_name) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_random_name(STORE_TEMPORARY_PREFIX, &name);
        if (r < 0)
                return r;
        if (renameat(s->images_fd, layer, s->images_fd, name) < 0)
                return -errno;
        *ret_name = TAKE_PTR(name);
        return 0;
}

static int list_names(int directory_fd, bool (*wanted)(const char *name, const char *prefix), const char *prefix,
                      char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        int r;

        r = directory_open_at(directory_fd, ".", &dir);
        if (r < 0)
                return r;
        while (r >= 0 && (entry = readdir(dir)))
                if (wanted(entry->d_name, prefix))
                        r = strv_extend(&names, entry->d_name);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(names);
        return 0;
}

/* All else in the directory is on its way in or out. */
static bool is_id(const char *name, const char *prefix) {
        (void) prefix;
        return sandbox_id_is_valid(name);
}

static bool has_prefix(const char *name, const char *prefix) {
        return startswith(name, prefix);
}

static bool is_volume(const char *name, const char *prefix) {
        return object_id_is_valid(name, prefix);
}

int store_list_volumes(const Store *s, char ***ret_ids) {
        return list_names(s->volumes_fd, is_volume, VOLUME_ID_PREFIX, ret_ids);
}

static int add_used(const Store *s, char ***ids) {
        _cleanup_strv_free_ char **uses = NULL;
        int r;

        r = list_names(s->roots_fd, has_prefix, STORE_USE_PREFIX, &uses);
        STRV_FOREACH(use, uses) {
                const char *id = *use + strlen(STORE_USE_PREFIX);

                if (r >= 0 && sandbox_id_is_valid(id) && faccessat(s->roots_fd, id, F_OK, 0) < 0)
                        r = strv_extend(ids, id);
        }
        return r;
}

/* Of one that was given a snapshot, and then we died. */
static int add_standing(const Store *s, char ***ids) {
        _cleanup_strv_free_ char **uses = NULL;
        int r;

        r = list_names(s->roots_fd, has_prefix, STORE_SNAPSHOT_USE_PREFIX, &uses);
        STRV_FOREACH(use, uses) {
                char id[SANDBOX_ID_LENGTH + 1];

                (void) snprintf(id, sizeof id, "%s", *use + strlen(STORE_SNAPSHOT_USE_PREFIX));
                if (r >= 0 && sandbox_id_is_valid(id) && !strv_contains(*ids, id))
                        r = strv_extend(ids, id);
        }
        return r;
}

int store_list_roots(const Store *s, char ***ret_ids) {
        _cleanup_strv_free_ char **ids = NULL;
        int r;

        r = list_names(s->roots_fd, is_id, NULL, &ids);
        if (r >= 0)
                r = add_used(s, &ids);
        if (r >= 0)
                r = add_standing(s, &ids);
        if (r < 0)
                return r;
        *ret_ids = TAKE_PTR(ids);
        return 0;
}

int store_list_leftovers(int directory_fd, const char *prefix, char ***ret_names) {
        return list_names(directory_fd, has_prefix, prefix, ret_names);
}
