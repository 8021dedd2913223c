/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/tree-remove.h"
#include "sandbox-fsd/unpack.h"
#include "tests/test.h"

/* An entry of an archive that a test makes. */
typedef struct Entry {
        const char *name;
        mode_t mode; /* with its type */
        const char *text; /* content, target of a link */
        const char *hardlink;
        int64_t uid, mtime;
        const char *xattr;
} Entry;

typedef struct Fixture {
        char directory[64];
        int fd, tar_fd;
        char text[512];
} Fixture;

static const UnpackLimits small = {
        .entries = 20, .bytes = MiB, .file_bytes = 512 * KiB, .ratio = 200, .ratio_from_bytes = 16 * KiB,
};

static void fixture_init(Fixture *f) {
        *f = (Fixture) { .directory = "/tmp/test-unpack-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        f->fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(f->fd);
        f->tar_fd = memfd_create("tar", MFD_CLOEXEC);
        ASSERT_OK(f->tar_fd);
}

static void fixture_done(Fixture *f) {
        safe_close(f->tar_fd);
        ASSERT_OK(tree_remove_contents(f->fd, USEC_INFINITY));
        ASSERT_EQ(rmdir(f->directory), 0);
}

static void write_entry(struct archive *a, const Entry *e) {
        struct archive_entry *entry = archive_entry_new();
        size_t size = S_ISREG(e->mode) && e->text ? strlen(e->text) : 0;

        archive_entry_set_pathname(entry, e->name);
        archive_entry_set_mode(entry, e->mode);
        archive_entry_set_uid(entry, e->uid);
        archive_entry_set_mtime(entry, e->mtime, 0);
        archive_entry_set_size(entry, (la_int64_t) size);
        if (S_ISLNK(e->mode))
                archive_entry_set_symlink(entry, e->text);
        if (e->hardlink)
                archive_entry_set_hardlink(entry, e->hardlink);
        if (e->xattr)
                archive_entry_xattr_add_entry(entry, e->xattr, "y", 1);
        ASSERT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
        if (size > 0)
                ASSERT_EQ(archive_write_data(a, e->text, size), size);
        archive_entry_free(entry);
}

static void make_tar(Fixture *f, const Entry *entries, size_t n, bool gzip) {
        struct archive *a = archive_write_new();

        ASSERT_EQ(ftruncate(f->tar_fd, 0), 0);
        ASSERT_EQ(lseek(f->tar_fd, 0, SEEK_SET), 0);
        ASSERT_EQ(archive_write_set_format_pax(a), ARCHIVE_OK);
        if (gzip)
                ASSERT_EQ(archive_write_add_filter_gzip(a), ARCHIVE_OK);
        ASSERT_EQ(archive_write_open_fd(a, f->tar_fd), ARCHIVE_OK);
        for (size_t i = 0; i < n; i++)
                write_entry(a, &entries[i]);
        ASSERT_EQ(archive_write_free(a), ARCHIVE_OK);
}

static int unpack(Fixture *f) {
        ASSERT_EQ(lseek(f->tar_fd, 0, SEEK_SET), 0);
        return unpack_tar(f->tar_fd, f->fd, &small, f->text, sizeof f->text);
}

static int unpack_entries(Fixture *f, const Entry *entries, size_t n) {
        make_tar(f, entries, n, /* gzip= */ false);
        return unpack(f);
}

TEST(good) {
        static const Entry entries[] = {
                { "./",             S_IFDIR | 0755                                          },
                { "./etc/",         S_IFDIR | 0750                                          },
                { "./etc/file",     S_IFREG | 04644, "content", .mtime = 1000               },
                { "implied/x",      S_IFREG | 0600,  "x"                                    },
                { "link",           S_IFLNK | 0777,  "/../../anywhere"                      },
                { "hard",           S_IFREG | 0644,  NULL, "etc/file"                       },
                { "fifo",           S_IFIFO | 0600                                          },
                { "null",           S_IFCHR | 0666                                          },
                { "future",         S_IFREG | 0644,  "", .mtime = INT64_C(1) << 40          },
        };
        _cleanup_(fixture_done) Fixture f;
        struct stat a, b;
        char target[64] = "";

        fixture_init(&f);
        for (unsigned gzip = 0; gzip < 2; gzip++) {
                make_tar(&f, entries, ELEMENTSOF(entries), gzip);
                ASSERT_OK(unpack(&f));
                ASSERT_EQ(strlen(f.text), 64);
        }
        ASSERT_EQ(fstatat(f.fd, "etc/file", &a, 0), 0);
        ASSERT_EQ(a.st_size, 7);
        ASSERT_EQ(a.st_mode & 07777, 04644);
        ASSERT_EQ(a.st_mtim.tv_sec, 1000);
        ASSERT_EQ(fstatat(f.fd, "hard", &b, 0), 0);
        ASSERT_EQ(a.st_ino, b.st_ino);
        ASSERT_OK((int) readlinkat(f.fd, "link", target, sizeof target - 1));
        ASSERT_STREQ(target, "/../../anywhere");
        ASSERT_EQ(fstatat(f.fd, "null", &b, AT_SYMLINK_NOFOLLOW), -1); /* devices are left out */
        ASSERT_EQ(fstatat(f.fd, "future", &b, 0), 0);
        ASSERT_TRUE(b.st_mtim.tv_sec < INT64_C(1) << 34);
}

TEST(refused) {
        static const struct {
                Entry entries[3];
                size_t n;
        } cases[] = {
                { { { "../x", S_IFREG | 0644, "" } }, 1 },
                { { { "/etc/x", S_IFREG | 0644, "" } }, 1 },
                { { { "a/../../x", S_IFREG | 0644, "" } }, 1 },
                { { { "d", S_IFLNK | 0777, "/tmp" }, { "d/test-unpack-outside", S_IFREG | 0644, "" } }, 2 },
                { { { "d", S_IFLNK | 0777, "." }, { "d/x", S_IFREG | 0644, "" } }, 2 },
                { { { "f", S_IFREG | 0644, "" }, { "f/x", S_IFREG | 0644, "" } }, 2 },
                { { { "h", S_IFREG | 0644, NULL, "../../etc/passwd" } }, 1 },
                { { { "h", S_IFREG | 0644, NULL, "/etc/passwd" } }, 1 },
                { { { "h", S_IFREG | 0644, NULL, "missing" } }, 1 },
                { { { "l", S_IFLNK | 0777, "/etc/passwd" }, { "h", S_IFREG | 0644, NULL, "l" } }, 2 },
                { { { "x", S_IFREG | 0644, "", .uid = 65536 } }, 1 },
                { { { "x", S_IFREG | 0644, "", .uid = UINT32_MAX } }, 1 },
                { { { "x", S_IFREG | 0644, "", .xattr = "user.overlay.redirect" } }, 1 },
                { { { "x", S_IFREG | 0644, "", .xattr = "trusted.overlay.opaque" } }, 1 },
                { { { "d/.wh..wh.plnk", S_IFREG | 0644, "" } }, 1 },
                { { { "d/.wh...", S_IFREG | 0644, "" } }, 1 },
        };
        struct stat st;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fixture_done) Fixture f;
                int r;

                fixture_init(&f);
                r = unpack_entries(&f, cases[i].entries, cases[i].n);
                if (r != -EBADMSG)
                        fail_msg("case %zu: %d", i, r);
                ASSERT_EQ(stat("/tmp/test-unpack-outside", &st), -1);
        }
}

TEST(whiteouts_become_overlayfs) {
        static const Entry entries[] = {
                { "d/.wh.gone",       S_IFREG | 0644, "" },
                { "d/.wh..wh..opq",   S_IFREG | 0644, "" },
        };
        _cleanup_(fixture_done) Fixture f;
        struct stat st;
        char value[4] = "";
        int fd, r;

        fixture_init(&f);
        r = unpack_entries(&f, entries, 1);
        ASSERT_OK(r);
        ASSERT_EQ(fstatat(f.fd, "d/gone", &st, AT_SYMLINK_NOFOLLOW), 0);
        ASSERT_TRUE(S_ISCHR(st.st_mode));
        ASSERT_EQ(st.st_rdev, 0);

        r = unpack_entries(&f, entries, 2);
        if (r == -EOPNOTSUPP)
                return; /* this file system has no user attributes */
        ASSERT_OK(r);
        ASSERT_OK(fd = openat(f.fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ASSERT_EQ(fgetxattr(fd, "user.overlay.opaque", value, sizeof value), 1);
        safe_close(fd);
}

TEST(same_name_again) {
        static const Entry entries[] = {
                { "x",   S_IFREG | 0644, "file"  },
                { "x",   S_IFDIR | 0755          },
                { "x/y", S_IFREG | 0644, "below" },
                { "x",   S_IFLNK | 0777, "/tmp"  },
                { "z",   S_IFLNK | 0777, "/tmp/test-unpack-target" },
                { "z",   S_IFREG | 0644, "mine"  },
        };
        _cleanup_(fixture_done) Fixture f;
        struct stat st;

        fixture_init(&f);
        ASSERT_OK(unpack_entries(&f, entries, ELEMENTSOF(entries)));
        ASSERT_EQ(fstatat(f.fd, "x", &st, AT_SYMLINK_NOFOLLOW), 0);
        ASSERT_TRUE(S_ISLNK(st.st_mode));
        ASSERT_EQ(fstatat(f.fd, "z", &st, AT_SYMLINK_NOFOLLOW), 0);
        ASSERT_TRUE(S_ISREG(st.st_mode));
        ASSERT_EQ(stat("/tmp/test-unpack-target", &st), -1);
}

TEST(damaged) {
        static const Entry entry = { "file", S_IFREG | 0644, "content of a file that is long enough to be cut" };
        _cleanup_(fixture_done) Fixture f;
        char text[4096];
        off_t size;

        fixture_init(&f);
        ASSERT_EQ(unpack(&f), -EBADMSG); /* empty */

        make_tar(&f, &entry, 1, /* gzip= */ true);
        size = lseek(f.tar_fd, 0, SEEK_END);
        ASSERT_EQ(ftruncate(f.tar_fd, size - 9), 0);
        ASSERT_EQ(unpack(&f), -EBADMSG);

        make_tar(&f, &entry, 1, /* gzip= */ false);
        ASSERT_EQ(ftruncate(f.tar_fd, 512 + 20), 0); /* within the content */
        ASSERT_EQ(unpack(&f), -EBADMSG);
        ASSERT_EQ(ftruncate(f.tar_fd, 1024), 0); /* no end */
        ASSERT_EQ(unpack(&f), -EBADMSG);

        make_tar(&f, &entry, 1, /* gzip= */ false);
        ASSERT_EQ(lseek(f.tar_fd, 0, SEEK_END) > 0, true);
        ASSERT_OK(loop_write(f.tar_fd, "garbage", 7));
        ASSERT_EQ(unpack(&f), -EBADMSG);

        ASSERT_EQ(ftruncate(f.tar_fd, 0), 0);
        memset(text, 'x', sizeof text);
        ASSERT_EQ(pwrite(f.tar_fd, text, sizeof text, 0), sizeof text);
        ASSERT_EQ(unpack(&f), -EBADMSG);
}

static void compress_again(Fixture *f) {
        _cleanup_free_ char *copy = NULL;
        struct archive *a = archive_write_new();
        struct archive_entry *entry = archive_entry_new();
        off_t size = lseek(f->tar_fd, 0, SEEK_END);

        copy = malloc((size_t) size);
        ASSERT_NOT_NULL(copy);
        ASSERT_EQ(pread(f->tar_fd, copy, (size_t) size, 0), size);
        ASSERT_EQ(ftruncate(f->tar_fd, 0), 0);
        ASSERT_EQ(lseek(f->tar_fd, 0, SEEK_SET), 0);
        ASSERT_EQ(archive_write_set_format_raw(a), ARCHIVE_OK);
        ASSERT_EQ(archive_write_add_filter_gzip(a), ARCHIVE_OK);
        ASSERT_EQ(archive_write_open_fd(a, f->tar_fd), ARCHIVE_OK);
        archive_entry_set_filetype(entry, AE_IFREG);
        ASSERT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
        ASSERT_EQ(archive_write_data(a, copy, (size_t) size), size);
        archive_entry_free(entry);
        ASSERT_EQ(archive_write_free(a), ARCHIVE_OK);
}

TEST(gzip_of_gzip) {
        static const Entry entry = { "file", S_IFREG | 0644, "x" };
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        make_tar(&f, &entry, 1, /* gzip= */ true);
        compress_again(&f);
        ASSERT_EQ(unpack(&f), -EBADMSG);
}

TEST(limits) {
        _cleanup_free_ char *zeros = NULL;
        Entry entries[21];
        Entry large;

        zeros = malloc(600 * KiB + 1);
        ASSERT_NOT_NULL(zeros);
        memset(zeros, 'z', 600 * KiB);
        zeros[600 * KiB] = 0;
        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                entries[i] = (Entry) { "same", S_IFREG | 0644, "x" };
        large = (Entry) { "large", S_IFREG | 0644, zeros };

        for (unsigned i = 0; i < 4; i++) {
                _cleanup_(fixture_done) Fixture f;

                fixture_init(&f);
                if (i == 0) /* too many */
                        make_tar(&f, entries, ELEMENTSOF(entries), false);
                if (i == 1) /* one too large */
                        make_tar(&f, &large, 1, false);
                if (i == 2) { /* too much together */
                        zeros[400 * KiB] = 0;
                        entries[0] = entries[1] = entries[2] = large;
                        make_tar(&f, entries, 3, false);
                }
                if (i == 3) /* little that becomes much */
                        make_tar(&f, &large, 1, true);
                ASSERT_EQ(unpack(&f), -EFBIG);
        }
}
