/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"
#include "sandbox-fsd/tree-remove.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[64];
        int fd;
        FileRoot root;
} Fixture;

static void fixture_init_in(Fixture *f, const char *parent) {
        *f = (Fixture) {};
        (void) snprintf(f->directory, sizeof f->directory, "%s/test-file-ops-XXXXXX", parent);
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        f->fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(f->fd);
        ASSERT_OK(file_root_init(&f->root, open(f->directory, O_PATH | O_DIRECTORY | O_CLOEXEC)));
}

static void fixture_init(Fixture *f) {
        fixture_init_in(f, "/tmp");
}

static void fixture_done(Fixture *f) {
        file_root_done(&f->root);
        ASSERT_OK(tree_remove_contents(f->fd, USEC_INFINITY));
        ASSERT_EQ(rmdir(f->directory), 0);
}

static void put(Fixture *f, const char *path, const char *text) {
        ASSERT_OK(file_write(&f->root, &(FileWrite) {
                .path = path, .mode = 0644, .size = strlen(text), .source_fd = -EBADF, .bytes = text,
        }));
}

static void assert_text(Fixture *f, const char *path, const char *expect) {
        char buffer[256] = "";
        struct stat st;
        int fd = ASSERT_OK(file_open_regular(&f->root, path, &st));

        ASSERT_OK((int) file_read_at(fd, buffer, sizeof buffer - 1, 0));
        ASSERT_STREQ(buffer, expect);
        safe_close(fd);
}

static bool exists(Fixture *f, const char *path) {
        struct stat st;

        return fstatat(f->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static unsigned mode_of(Fixture *f, const char *path) {
        struct stat st;

        ASSERT_EQ(fstatat(f->fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st.st_mode & 07777;
}

static int append(Fixture *f, const char *part, uint64_t offset, uint64_t size, const char *text, uint64_t *ret_size) {
        int fds[2], r;

        ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
        ASSERT_OK(loop_write(fds[1], text, strlen(text)));
        safe_close(fds[1]);
        r = file_upload_append(&f->root, &(FileAppend) { .part = part, .offset = offset, .size = size,
                                                         .source_fd = fds[0] }, ret_size);
        safe_close(fds[0]);
        return r;
}

TEST(upload_in_parts) {
        FileUpload upload = { .path = "/a/b", .part = "/a/.part", .size = 10, .mode = 0750, .keep_mode = true };
        _cleanup_(fixture_done) Fixture f;
        uint64_t size = 99;

        fixture_init(&f);
        put(&f, "/a/b", "the old");
        ASSERT_EQ(fchmodat(f.fd, "a/b", 0604, 0), 0);
        ASSERT_OK(file_upload_begin(&f.root, &upload));
        ASSERT_EQ(file_upload_begin(&f.root, &upload), -EEXIST);
        ASSERT_EQ(mode_of(&f, "a/.part"), 0600);
        ASSERT_OK(append(&f, "/a/.part", 0, 10, "0123", &size));
        ASSERT_EQ(size, 4);
        ASSERT_EQ(append(&f, "/a/.part", 3, 7, "wrong", &size), -ESTALE);
        ASSERT_EQ(append(&f, "/a/.part", 5, 5, "wrong", &size), -ESTALE);
        ASSERT_EQ(file_upload_finish(&f.root, &upload), -ESTALE);
        assert_text(&f, "/a/b", "the old");
        /* what is more than asked for stays in the pipe */
        ASSERT_OK(append(&f, "/a/.part", 4, 6, "456789and more", &size));
        ASSERT_OK(file_upload_size(&f.root, "/a/.part", &size));
        ASSERT_EQ(size, 10);
        ASSERT_OK(file_upload_finish(&f.root, &upload));
        assert_text(&f, "/a/b", "0123456789");
        ASSERT_EQ(mode_of(&f, "a/b"), 0604);
        assert_false(exists(&f, "a/.part"));
        ASSERT_EQ(file_upload_size(&f.root, "/a/.part", &size), -ENOENT);
        ASSERT_EQ(append(&f, "/a/.part", 0, 1, "x", &size), -ENOENT);
        ASSERT_EQ(file_upload_finish(&f.root, &upload), -ENOENT);
}

/* What the sandbox puts in the place of the gathering file, or of the target. */
TEST(upload_meets_others) {
        FileUpload upload = { .path = "/target", .part = "/.part", .size = 1, .mode = 0640 };
        _cleanup_(fixture_done) Fixture f;
        uint64_t size;

        fixture_init(&f);
        put(&f, "/victim", "untouched");
        ASSERT_EQ(symlinkat("victim", f.fd, ".part"), 0);
        ASSERT_EQ(file_upload_begin(&f.root, &upload), -EEXIST);
        ASSERT_EQ(append(&f, "/.part", 9, 1, "x", &size), -ENXIO);
        ASSERT_EQ(file_upload_finish(&f.root, &upload), -ENXIO);
        ASSERT_EQ(unlinkat(f.fd, ".part", 0), 0);
        ASSERT_EQ(mkfifoat(f.fd, ".part", 0600), 0);
        ASSERT_EQ(append(&f, "/.part", 0, 1, "x", &size), -ENXIO);
        ASSERT_EQ(file_upload_size(&f.root, "/.part", &size), -ENXIO);
        ASSERT_EQ(unlinkat(f.fd, ".part", 0), 0);
        assert_text(&f, "/victim", "untouched");

        ASSERT_EQ(mkdirat(f.fd, "target", 0755), 0);
        ASSERT_EQ(file_upload_begin(&f.root, &upload), -EISDIR);
        ASSERT_EQ(unlinkat(f.fd, "target", AT_REMOVEDIR), 0);
        ASSERT_EQ(symlinkat("victim", f.fd, "target"), 0);
        ASSERT_OK(file_upload_begin(&f.root, &upload));
        ASSERT_OK(append(&f, "/.part", 0, 1, "n", &size));
        ASSERT_OK(file_upload_finish(&f.root, &upload));
        assert_text(&f, "/victim", "untouched");
        assert_text(&f, "/target", "n");
        ASSERT_EQ(mode_of(&f, "target"), 0640);

        upload.size = FILE_WRITE_MAX + 1;
        ASSERT_EQ(file_upload_begin(&f.root, &upload), -EFBIG);
        ASSERT_EQ(append(&f, "/.part", UINT64_MAX, 1, "x", &size), -EFBIG);
}

/* A worker that still empties the pipe of a client who is gone; the next one waits for it. */
TEST(upload_waits_for_the_last_writer) {
        FileUpload upload = { .path = "/target", .part = "/.part", .size = 8 };
        _cleanup_(fixture_done) Fixture f;
        int fds[2], status;
        uint64_t size;
        pid_t pid;

        fixture_init(&f);
        ASSERT_OK(file_upload_begin(&f.root, &upload));
        ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
        ASSERT_OK(loop_write(fds[1], "0123", 4));
        pid = fork();
        if (pid == 0) {
                safe_close(fds[1]);
                _exit(file_upload_append(&f.root, &(FileAppend) { .part = "/.part", .size = 8, .source_fd = fds[0] },
                                         &size) < 0);
        }
        safe_close(fds[0]);
        do {
                struct stat st;

                ASSERT_EQ(fstatat(f.fd, ".part", &st, 0), 0);
                size = (uint64_t) st.st_size;
        } while (size < 4);
        safe_close(fds[1]);
        ASSERT_OK(append(&f, "/.part", 4, 4, "4567", &size));
        ASSERT_EQ(size, 8);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        ASSERT_OK(file_upload_finish(&f.root, &upload));
        assert_text(&f, "/target", "01234567");
}

TEST(write_replaces_links_and_keeps_what_was_asked) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(&f, "/victim", "untouched");
        ASSERT_EQ(symlinkat("victim", f.fd, "link"), 0);
        put(&f, "/link", "new");
        assert_text(&f, "/victim", "untouched");
        assert_text(&f, "/link", "new");

        ASSERT_EQ(fchmodat(f.fd, "victim", 0600, 0), 0);
        ASSERT_OK(file_write(&f.root, &(FileWrite) {
                .path = "/victim", .mode = 0755, .keep_mode = true, .source_fd = -EBADF, .bytes = "" }));
        ASSERT_EQ(mode_of(&f, "victim"), 0600);
        ASSERT_OK(file_write(&f.root, &(FileWrite) {
                .path = "/victim", .mode = 0177755, .source_fd = -EBADF, .bytes = "" }));
        ASSERT_EQ(mode_of(&f, "victim"), 07755);
}

TEST(write_refuses_what_is_no_file) {
        static const struct {
                const char *path;
                int expect;
        } cases[] = {
                { "/directory",      -EISDIR       },
                { "/fifo",           -ENXIO        },
                { "/file/x",         -ENOTDIR      },
                { "/dangling/x",     -ENOTDIR      },
                { "/",               -EPERM        },
                { "/directory/..",   -EINVAL       },
                { "x",               -EXDEV        },
                { "",                -EINVAL       },
        };
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(&f, "/file", "x");
        ASSERT_EQ(mkdirat(f.fd, "directory", 0755), 0);
        ASSERT_EQ(mkfifoat(f.fd, "fifo", 0666), 0);
        ASSERT_EQ(symlinkat("nowhere", f.fd, "dangling"), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int r = file_write(&f.root, &(FileWrite) { .path = cases[i].path, .source_fd = -EBADF, .bytes = "" });

                if (r != cases[i].expect)
                        fail_msg("%s: %d", cases[i].path, r);
        }
}

/* A writer that gives one byte at a time, and one that gives too few. */
TEST(write_from_slow_pipes) {
        _cleanup_(fixture_done) Fixture f;
        int fds[2], status;
        pid_t pid;

        fixture_init(&f);
        for (unsigned n = 99; n <= 100; n++) {
                ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
                pid = fork();
                if (pid == 0) {
                        for (unsigned i = 0; i < n; i++)
                                if (write(fds[1], "x", 1) != 1)
                                        _exit(1);
                        _exit(0);
                }
                safe_close(fds[1]);
                ASSERT_EQ(file_write(&f.root, &(FileWrite) {
                        .path = "/slow", .mode = 0644, .size = 100, .source_fd = fds[0] }), n == 100 ? 0 : -ECANCELED);
                safe_close(fds[0]);
                ASSERT_EQ(waitpid(pid, &status, 0), pid);
                ASSERT_EQ(exists(&f, "slow"), n == 100);
        }
        ASSERT_EQ(file_write(&f.root, &(FileWrite) { .path = "/x", .size = 1, .source_fd = f.fd }), -EINVAL);
        ASSERT_EQ(file_write(&f.root, &(FileWrite) { .path = "/x", .size = UINT64_MAX, .source_fd = f.fd }), -EFBIG);
}

TEST(sparse_giant_is_not_read) {
        _cleanup_(fixture_done) Fixture f;
        struct stat st;
        int fd;

        fixture_init_in(&f, "/dev/shm");
        ASSERT_OK(fd = openat(f.fd, "giant", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
        if (ftruncate(fd, INT64_MAX - 4096) < 0)
                ASSERT_EQ(errno, EFBIG);
        safe_close(fd);
        ASSERT_OK(fd = file_open_regular(&f.root, "/giant", &st));
        if (st.st_size > 0) {
                char byte;

                ASSERT_EQ(file_read_at(fd, &byte, 1, (uint64_t) st.st_size - 1), 1);
                ASSERT_EQ(file_read_at(fd, &byte, 1, (uint64_t) st.st_size), 0);
        }
        safe_close(fd);
}

TEST(delete) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(&f, "/d/file", "x");
        ASSERT_EQ(symlinkat("d", f.fd, "link"), 0);
        ASSERT_OK(file_delete(&f.root, "/link"));
        ASSERT_TRUE(exists(&f, "d/file"));
        ASSERT_OK(file_delete(&f.root, "/missing"));
        ASSERT_OK(file_delete(&f.root, "/missing/missing"));
        ASSERT_EQ(file_delete(&f.root, "/d"), -EISDIR);
        ASSERT_EQ(file_delete(&f.root, "/"), -EPERM);
        ASSERT_OK(file_delete(&f.root, "/d/file"));
        ASSERT_FALSE(exists(&f, "d/file"));
}

TEST(make_directories) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        ASSERT_OK(file_make_directories(&f.root, "/"));
        ASSERT_OK(file_make_directories(&f.root, "/a//b/c/"));
        ASSERT_EQ(mode_of(&f, "a/b/c"), FILE_DIRECTORY_MODE & ~umask(umask(0)));
        ASSERT_OK(file_make_directories(&f.root, "/a/b/../x/y"));
        ASSERT_TRUE(exists(&f, "a/x/y"));
        ASSERT_EQ(symlinkat("/a", f.fd, "link"), 0);
        ASSERT_OK(file_make_directories(&f.root, "/link/z"));
        ASSERT_TRUE(exists(&f, "a/z"));
        ASSERT_EQ(symlinkat("nowhere", f.fd, "dangling"), 0);
        ASSERT_EQ(file_make_directories(&f.root, "/dangling/z"), -ENOTDIR);
        put(&f, "/file", "");
        ASSERT_EQ(file_make_directories(&f.root, "/file"), -ENOTDIR);
        ASSERT_EQ(file_make_directories(&f.root, "relative"), -EXDEV);
}

/* Some inodes are all that it takes to nest directories beyond what anybody wants to keep in mind. */
static void make_deep(int directory_fd, unsigned levels) {
        int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);

        for (unsigned i = 0; i < levels; i++) {
                int next;

                ASSERT_EQ(mkdirat(fd, "d", 0700), 0);
                next = openat(fd, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
                ASSERT_OK(next);
                safe_close(fd);
                fd = next;
        }
        safe_close(fd);
}

TEST(no_tree_is_too_deep_to_go) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init_in(&f, "/dev/shm");
        ASSERT_EQ(mkdirat(f.fd, "deep", 0700), 0);
        put(&f, "/deep/file", "text");
        make_deep(f.fd, 10000);
        ASSERT_OK(tree_remove_contents(openat(f.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), USEC_INFINITY));
        ASSERT_FALSE(exists(&f, "d"));
        ASSERT_FALSE(exists(&f, "deep"));
}

TEST(remove_tree) {
        _cleanup_(fixture_done) Fixture f;
        int fd, next;

        fixture_init_in(&f, "/dev/shm");
        put(&f, "/kept/file", "x");
        put(&f, "/t/a/b", "x");
        ASSERT_EQ(symlinkat("/kept", f.fd, "t/link"), 0);
        ASSERT_EQ(symlinkat("../../kept", f.fd, "t/a/link"), 0);
        ASSERT_EQ(mkfifoat(f.fd, "t/fifo", 0600), 0);

        /* Deeper than descriptors are kept open, and than a path could say. */
        ASSERT_OK(fd = openat(f.fd, "t", O_PATH | O_DIRECTORY | O_CLOEXEC));
        for (unsigned i = 0; i < 3000; i++) {
                ASSERT_EQ(mkdirat(fd, "dd", 0755), 0);
                ASSERT_OK(next = openat(fd, "dd", O_PATH | O_DIRECTORY | O_CLOEXEC));
                safe_close(fd);
                fd = next;
        }
        safe_close(fd);

        ASSERT_EQ(file_remove_tree(&f.root, "/t", 0), -ETIMEDOUT);
        ASSERT_OK(file_remove_tree(&f.root, "/t", USEC_INFINITY));
        ASSERT_FALSE(exists(&f, "t"));
        ASSERT_TRUE(exists(&f, "kept/file"));
        ASSERT_OK(file_remove_tree(&f.root, "/t", USEC_INFINITY));
        ASSERT_EQ(file_remove_tree(&f.root, "/", USEC_INFINITY), -EPERM);
        ASSERT_EQ(file_remove_tree(&f.root, "/kept/.", USEC_INFINITY), -EINVAL);
        ASSERT_OK(file_remove_tree(&f.root, "/kept/file", USEC_INFINITY));
        ASSERT_FALSE(exists(&f, "kept/file"));
}

TEST(move) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(&f, "/a", "1");
        put(&f, "/d/x", "2");
        ASSERT_OK(file_move(&f.root, "/a", "/b", USEC_INFINITY));
        assert_text(&f, "/b", "1");
        ASSERT_OK(file_move(&f.root, "/b", "/d", USEC_INFINITY)); /* into it */
        assert_text(&f, "/d/b", "1");
        ASSERT_OK(file_move(&f.root, "/d/b", "/d/x", USEC_INFINITY)); /* over it */
        assert_text(&f, "/d/x", "1");
        ASSERT_EQ(file_move(&f.root, "/missing", "/x", USEC_INFINITY), -ENOENT);
        ASSERT_EQ(file_move(&f.root, "/d", "/d/e", USEC_INFINITY), -EINVAL);
        ASSERT_EQ(file_move(&f.root, "/d", "/no/such", USEC_INFINITY), -ENOENT);
        ASSERT_EQ(file_move(&f.root, "/", "/d", USEC_INFINITY), -EPERM);
}

/* What a move across mounts is made of. */
TEST(copy) {
        _cleanup_(fixture_done) Fixture f;
        char target[64] = "";
        FileCopy copy;

        fixture_init(&f);
        put(&f, "/t/a/b", "text");
        ASSERT_EQ(fchmodat(f.fd, "t/a/b", 0640, 0), 0);
        ASSERT_EQ(symlinkat("/nowhere", f.fd, "t/link"), 0);
        ASSERT_EQ(mkfifoat(f.fd, "t/fifo", 0600), 0);
        copy = (FileCopy) { .from_fd = f.fd, .from = "t", .to_fd = f.fd, .to = "u", .until_usec = USEC_INFINITY };
        ASSERT_OK(file_copy_at(&copy));
        assert_text(&f, "/u/a/b", "text");
        ASSERT_EQ(mode_of(&f, "u/a/b"), 0640);
        ASSERT_OK((int) readlinkat(f.fd, "u/link", target, sizeof target - 1));
        ASSERT_STREQ(target, "/nowhere");
        ASSERT_TRUE(exists(&f, "u/fifo"));
        ASSERT_EQ(file_copy_at(&copy), -EEXIST);
        copy.until_usec = 0;
        ASSERT_EQ(file_copy_at(&copy), -ETIMEDOUT);
}

static int count_entry(const FileEntry *entry, void *userdata) {
        unsigned *n = userdata;

        ASSERT_TRUE(utf8_is_valid(entry->name, strlen(entry->name)));
        ASSERT_TRUE(startswith(entry->path, "/d/") != NULL);
        ASSERT_EQ(entry->directory, startswith(entry->name, "dir") != NULL);
        (*n)++;
        return 0;
}

TEST(list_in_pieces) {
        FileList list = { .path = "/d", .max = 3, .until_usec = USEC_INFINITY };
        _cleanup_(fixture_done) Fixture f;
        unsigned n = 0, rounds = 0;
        bool more = true;

        fixture_init(&f);
        ASSERT_OK(file_make_directories(&f.root, "/d/dir"));
        put(&f, "/d/file", "x");
        put(&f, "/d/.hidden", "");
        put(&f, "/d/quote\"\n\033", "");
        ASSERT_EQ(symlinkat("dir", f.fd, "d/dirlink"), 0);
        ASSERT_EQ(symlinkat("loop", f.fd, "d/loop"), 0);
        ASSERT_EQ(mknodat(f.fd, "d/\xff\xfe", S_IFREG | 0644, 0), 0);
        for (; more; rounds++) {
                ASSERT_OK(file_list(&f.root, &list, count_entry, &n, &more));
                list.skip += list.max;
        }
        ASSERT_EQ(n, 7);
        ASSERT_EQ(rounds, 3);

        list.path = "/d/file";
        ASSERT_EQ(file_list(&f.root, &list, count_entry, &n, &more), -ENOTDIR);
        list.path = "/missing";
        ASSERT_EQ(file_list(&f.root, &list, count_entry, &n, &more), -ENOENT);
        list = (FileList) { .path = "/d", .max = 100 };
        ASSERT_OK(file_list(&f.root, &list, count_entry, &n, &more));
        ASSERT_TRUE(more); /* out of time */
}

static int collect_path(const char *path, void *userdata) {
        return strv_extend(userdata, path);
}

TEST(search) {
        FileSearch search = { .directory = "/", .pattern = "*.c", .max = 10, .until_usec = USEC_INFINITY };
        _cleanup_strv_free_ char **found = NULL;
        _cleanup_(fixture_done) Fixture f;
        bool more;

        fixture_init(&f);
        put(&f, "/a.c", "");
        put(&f, "/x/.hidden/b.c", "");
        put(&f, "/x/b.h", "");
        ASSERT_OK(file_make_directories(&f.root, "/directory.c"));
        ASSERT_EQ(symlinkat("a.c", f.fd, "link.c"), 0);
        ASSERT_EQ(symlinkat(".", f.fd, "x/around"), 0);
        ASSERT_OK(file_search(&f.root, &search, collect_path, &found, &more));
        ASSERT_FALSE(more);
        ASSERT_EQ(strv_length(found), 2);
        ASSERT_TRUE(strv_contains(found, "/a.c"));
        ASSERT_TRUE(strv_contains(found, "/x/.hidden/b.c"));

        search.max = 1;
        ASSERT_OK(file_search(&f.root, &search, collect_path, &found, &more));
        ASSERT_TRUE(more);
        search.pattern = "a;b";
        ASSERT_EQ(file_search(&f.root, &search, collect_path, &found, &more), -EINVAL);
}

TEST(stat_of_links_and_accounts) {
        _cleanup_(file_info_done) FileInfo info = {}, link = {};
        _cleanup_(fixture_done) Fixture f;
        char passwd[128];

        fixture_init(&f);
        (void) snprintf(passwd, sizeof passwd, "no line\n:x:1:1::/:\nme\xff:x:%u:5::/:\n", geteuid());
        put(&f, "/etc/passwd", passwd);
        put(&f, "/file", "12345");
        ASSERT_EQ(symlinkat("/file", f.fd, "link"), 0);

        ASSERT_OK(file_stat(&f.root, "/file", &info));
        ASSERT_EQ(info.size, 5);
        ASSERT_STREQ(info.link, "");
        ASSERT_STREQ(info.owner, "me\xef\xbf\xbd");
        ASSERT_OK(file_stat(&f.root, "/link", &link));
        ASSERT_STREQ(link.link, "/file");
        ASSERT_TRUE(S_ISLNK(link.mode));
        /* Without a group file there are numbers. */
        ASSERT_EQ(strspn(link.group, "0123456789"), strlen(link.group));
}

TEST(change_mode) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(&f, "/file", "");
        ASSERT_EQ(symlinkat("file", f.fd, "link"), 0);
        ASSERT_EQ(mkfifoat(f.fd, "fifo", 0600), 0);
        ASSERT_OK(file_change_mode(&f.root, "/link", "u+x"));
        ASSERT_EQ(mode_of(&f, "file"), 0744);
        ASSERT_OK(file_change_mode(&f.root, "/file", "000"));
        ASSERT_EQ(mode_of(&f, "file"), 0);
        ASSERT_OK(file_change_mode(&f.root, "/file", "644"));
        ASSERT_EQ(file_change_mode(&f.root, "/fifo", "644"), -ENXIO);
        ASSERT_EQ(file_change_mode(&f.root, "/missing", "644"), -ENOENT);
        ASSERT_EQ(file_change_mode(&f.root, "/file", "rwx"), -EINVAL);
}

/* A directory that keeps turning into a link to / and back: whatever is read is of the root, or nothing is. */
TEST(renames_meanwhile) {
        _cleanup_(fixture_done) Fixture f;
        struct stat st;
        unsigned n_read = 0;
        pid_t pid;

        fixture_init(&f);
        put(&f, "/a/etc/marker", "inside");
        put(&f, "/etc/marker", "inside");
        ASSERT_EQ(symlinkat("/", f.fd, "b"), 0);
        pid = fork();
        if (pid == 0)
                for (;;)
                        (void) renameat2(f.fd, "a", f.fd, "b", RENAME_EXCHANGE);

        for (unsigned i = 0; i < 2000; i++) {
                char buffer[16] = "";
                int fd = file_open_regular(&f.root, "/a/../a/etc/marker", &st);

                if (fd < 0) {
                        ASSERT_TRUE(fd == -ENOENT || fd == -EAGAIN);
                        continue;
                }
                ASSERT_EQ(file_read_at(fd, buffer, sizeof buffer - 1, 0), 6);
                ASSERT_STREQ(buffer, "inside");
                n_read++;
                safe_close(fd);
        }
        ASSERT_EQ(kill(pid, SIGKILL), 0);
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
        ASSERT_TRUE(n_read > 0);
}
