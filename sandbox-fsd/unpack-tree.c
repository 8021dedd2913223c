/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/unpack-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/tar-name.h"
#include "sandbox-fsd/tree-remove.h"

/* Each entry is found from the layer's root, component by component and without following links, also those that the
 * archive itself has just made. Devices are left out: the sandbox has its own. */

#define ID_MAX 65535
#define LINKS_MAX 10000U
#define MTIME_MAX (INT64_C(1) << 34)
#define XATTRS_MAX (64 * KiB)

/* Where an entry goes: the directory that holds it, and its name there. */
typedef struct Place {
        int parent_fd;
        char *path;
        const char *name; /* in path */
} Place;

static void place_done(Place *p) {
        safe_close(p->parent_fd);
        free(p->path);
}

static int open_below(int fd, const char *path, uint64_t flags) {
        struct open_how how = {
                .flags = flags | O_CLOEXEC | O_NOFOLLOW,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
        };
        int r = (int) syscall(SYS_openat2, fd, isempty(path) ? "." : path, &how, sizeof how);

        if (r >= 0)
                return r;
        return errno == ELOOP || errno == ENOTDIR ? -EBADMSG : -errno;
}

/* Parents without an entry of their own are made; a link in their place is refused, never followed. */
static int open_directory(int root_fd, const char *path) {
        int fd;

        fd = open_below(root_fd, path, O_PATH | O_DIRECTORY);
        if (fd != -ENOENT)
                return fd;

        for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
                _cleanup_free_ char *prefix = strndup(path, (size_t) (slash - path));

                if (!prefix)
                        return -ENOMEM;
                if (*prefix && mkdirat(root_fd, prefix, 0755) < 0 && errno != EEXIST)
                        return -errno;
                fd = open_below(root_fd, prefix, O_PATH | O_DIRECTORY);
                if (fd < 0)
                        return fd;
                safe_close(fd);
        }
        if (mkdirat(root_fd, path, 0755) < 0 && errno != EEXIST)
                return -errno;
        return open_below(root_fd, path, O_PATH | O_DIRECTORY);
}

static int place_find(const UnpackTree *tree, const char *name, Place *ret) {
        _cleanup_(place_done) Place p = { .parent_fd = -EBADF };
        _cleanup_free_ char *parent = NULL;
        const char *slash;
        int r;

        r = tar_name_normalize(name, &p.path);
        if (r < 0)
                return r;
        slash = strrchr(p.path, '/');
        p.name = slash ? slash + 1 : p.path;
        parent = strndup(p.path, slash ? (size_t) (slash - p.path) : 0);
        if (!parent)
                return -ENOMEM;
        p.parent_fd = open_directory(tree->fd, parent);
        if (p.parent_fd < 0)
                return p.parent_fd;

        *ret = p;
        p = (Place) { .parent_fd = -EBADF };
        return 0;
}

/* The last of two entries of one name counts; a directory that comes again is the same directory. */
static int make_room(const Place *p, bool for_directory) {
        struct stat st;

        if (fstatat(p->parent_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (for_directory && S_ISDIR(st.st_mode))
                return 1;
        return tree_remove_at(p->parent_fd, p->name, USEC_INFINITY);
}

static int set_xattrs(int fd, struct archive_entry *entry) {
        size_t total = 0, size;
        const void *value;
        const char *name;

        (void) archive_entry_xattr_reset(entry);
        while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
                if (strstr(name, ".overlay."))
                        return -EBADMSG; /* would speak to overlayfs for us */
                if (!startswith(name, "user."))
                        continue;
                total += strlen(name) + size;
                if (total > XATTRS_MAX)
                        return -EFBIG;
                if (fsetxattr(fd, name, value, size, 0) < 0 && errno != EOPNOTSUPP)
                        return -errno;
        }
        return 0;
}

static int check_owner(struct archive_entry *entry) {
        la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

        return uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX ? -EBADMSG : 0;
}

/* Owner first: chown() takes the set-id bits away. */
static int set_attributes(const UnpackTree *tree, const Place *p, struct archive_entry *entry, bool is_link) {
        struct timespec times[2] = {};

        if (tree->limits->keep_owner &&
            fchownat(p->parent_fd, p->name, (uid_t) archive_entry_uid(entry), (gid_t) archive_entry_gid(entry),
                     AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!is_link && fchmodat(p->parent_fd, p->name, archive_entry_mode(entry) & 07777, 0) < 0)
                return -errno;
        times[0].tv_sec = times[1].tv_sec = CLAMP((int64_t) archive_entry_mtime(entry), INT64_C(0), MTIME_MAX - 1);
        return utimensat(p->parent_fd, p->name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Blocks of a sparse file come with their offsets, which must rise and stay within the size. */
static int write_content(UnpackTree *tree, struct archive *archive, int fd, uint64_t size) {
        const void *block;
        la_int64_t offset;
        uint64_t end = 0;
        size_t n;
        int r;

        while ((r = archive_read_data_block(archive, &block, &n, &offset)) == ARCHIVE_OK) {
                if (offset < 0 || (uint64_t) offset < end || (uint64_t) offset > size || n > size - (uint64_t) offset)
                        return -EBADMSG;
                end = (uint64_t) offset + n;
                tree->n_bytes += n;
                if (tree->n_bytes > tree->limits->bytes)
                        return -EFBIG;
                if (lseek(fd, (off_t) offset, SEEK_SET) < 0)
                        return -errno;
                r = loop_write(fd, block, n);
                if (r < 0)
                        return r;
        }
        if (r != ARCHIVE_EOF)
                return -EBADMSG;
        return ftruncate(fd, (off_t) size) < 0 ? -errno : 0;
}

static int add_file(UnpackTree *tree, const Place *p, struct archive *archive, struct archive_entry *entry) {
        _cleanup_close_ int fd = -EBADF;
        la_int64_t size = archive_entry_size(entry);
        int r;

        if (size < 0)
                return -EBADMSG;
        if ((uint64_t) size > tree->limits->file_bytes)
                return -EFBIG;
        fd = openat(p->parent_fd, p->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = write_content(tree, archive, fd, (uint64_t) size);
        return r < 0 ? r : set_xattrs(fd, entry);
}

static int add_directory(const Place *p, struct archive_entry *entry, bool exists) {
        _cleanup_close_ int fd = -EBADF;

        if (!exists && mkdirat(p->parent_fd, p->name, 0700) < 0)
                return -errno;
        fd = openat(p->parent_fd, p->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        return set_xattrs(fd, entry);
}

static int add_symlink(const Place *p, struct archive_entry *entry) {
        const char *target = archive_entry_symlink(entry);

        if (isempty(target) || strlen(target) > TAR_NAME_MAX)
                return -EBADMSG;
        return symlinkat(target, p->parent_fd, p->name) < 0 ? -errno : 0;
}

/* To a regular file that is there already, by the same rules as for names. */
static int add_hardlink(const UnpackTree *tree, const Place *p, const char *target) {
        _cleanup_(place_done) Place t = { .parent_fd = -EBADF };
        struct stat st;
        int r;

        r = place_find(tree, target, &t);
        if (r < 0)
                return r;
        if (!*t.name || fstatat(t.parent_fd, t.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -EBADMSG;
        if (!S_ISREG(st.st_mode) || st.st_nlink >= LINKS_MAX)
                return -EBADMSG;
        if (streq(t.path, p->path))
                return 0;
        r = make_room(p, /* for_directory= */ false);
        if (r < 0)
                return r;
        return linkat(t.parent_fd, t.name, p->parent_fd, p->name, 0) < 0 ? -errno : 0;
}

/* What an entry beside it says counts more than a whiteout. */
static int add_whiteout(const Place *p, Whiteout kind, const char *target) {
        _cleanup_close_ int fd = -EBADF;

        if (kind == WHITEOUT_ENTRY) {
                if (mknodat(p->parent_fd, target, S_IFCHR, 0) < 0 && errno != EEXIST)
                        return -errno;
                return 0;
        }
        fd = openat(p->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

static int add_typed(UnpackTree *tree, const Place *p, struct archive *archive, struct archive_entry *entry) {
        mode_t type = archive_entry_filetype(entry);
        int r;

        if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK && type != AE_IFIFO) {
                tree->n_skipped++; /* devices and sockets: a sandbox has its own /dev */
                return 0;
        }
        r = make_room(p, type == AE_IFDIR);
        if (r < 0)
                return r;

        switch (type) {
        case AE_IFREG:
                r = add_file(tree, p, archive, entry);
                break;
        case AE_IFDIR:
                r = add_directory(p, entry, r > 0);
                break;
        case AE_IFLNK:
                r = add_symlink(p, entry);
                break;
        default:
                r = mkfifoat(p->parent_fd, p->name, 0600) < 0 ? -errno : 0;
        }
        return r < 0 ? r : set_attributes(tree, p, entry, type == AE_IFLNK);
}

int unpack_tree_add(UnpackTree *tree, struct archive *archive, struct archive_entry *entry) {
        _cleanup_(place_done) Place p = { .parent_fd = -EBADF };
        const char *name = archive_entry_pathname(entry), *target;
        Whiteout whiteout;
        int r;

        if (tree->n_entries++ >= tree->limits->entries)
                return -EFBIG;
        if (!name)
                return -EBADMSG;
        r = place_find(tree, name, &p);
        if (r >= 0)
                r = check_owner(entry);
        if (r >= 0)
                r = tar_name_whiteout(p.name, &whiteout, &target);
        if (r < 0)
                return r;
        if (!*p.name)
                return 0; /* the layer's own directory stays 0700 */

        if (whiteout != WHITEOUT_NONE)
                return add_whiteout(&p, whiteout, target);
        if (archive_entry_hardlink(entry))
                return add_hardlink(tree, &p, archive_entry_hardlink(entry));
        return add_typed(tree, &p, archive, entry);
}
