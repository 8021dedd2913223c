/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[32], store[64], images_d[64];
        const char *directories[2];
        Trees trees;
} Fixture;

static const char *const made[] = { "store", "store/volumes", "store/volumes/a", "store/volumes/b", "storeroom",
                                    "listed", "listed/below", "images.d" };

static const char *path_of(const Fixture *f, const char *name, char ret[128]) {
        (void) snprintf(ret, 128, "%s/%s", f->directory, name);
        return ret;
}

static int open_path(const Fixture *f, const char *name) {
        char path[128];

        return open(path_of(f, name, path), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void list(const Fixture *f, const char *kind, const char *name) {
        _cleanup_close_ int fd = open_path(f, "images.d");
        char text[256];

        (void) snprintf(text, sizeof text, "[Image]\nName=%s\nSource=%s:%s/%s\n", kind, kind, f->directory, name);
        ASSERT_OK(write_file_atomic_at(fd, "a.conf", text, 0644));
}

static void set_up(Fixture *f) {
        char path[128];

        *f = (Fixture) { .directory = "/tmp/test-tree-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        for (size_t i = 0; i < ELEMENTSOF(made); i++)
                ASSERT_EQ(mkdir(path_of(f, made[i], path), 0755), 0);
        (void) snprintf(f->store, sizeof f->store, "%s/store", f->directory);
        (void) snprintf(f->images_d, sizeof f->images_d, "%s/images.d", f->directory);
        f->directories[0] = f->images_d;
        f->trees = (Trees) { .store = f->store, .directories = f->directories };
}

static void tear_down(Fixture *f) {
        char path[128];

        trees_done(&f->trees);
        (void) unlink(path_of(f, "images.d/a.conf", path));
        for (size_t i = ELEMENTSOF(made); i > 0; i--)
                ASSERT_EQ(rmdir(path_of(f, made[i - 1], path)), 0);
        ASSERT_EQ(rmdir(f->directory), 0);
}

static int check(Fixture *f, const char *name, LayerKind kind, uint32_t origin) {
        _cleanup_close_ int fd = open_path(f, name);

        ASSERT_OK(fd);
        return trees_check_layer(&f->trees, &(Layer) { fd, kind, origin });
}

TEST(by_own_ids_what_is_listed) {
        Fixture f;

        set_up(&f);
        ASSERT_EQ(check(&f, "listed", LAYER_LOWER, 0), -EPERM);
        list(&f, "dir", "listed");
        ASSERT_EQ(check(&f, "listed", LAYER_LOWER, 0), 0);
        ASSERT_EQ(check(&f, "listed", LAYER_USR, 0), 0);
        ASSERT_EQ(check(&f, "listed", LAYER_UPPER, 0), -EPERM); /* to be written to */
        ASSERT_EQ(check(&f, "listed", LAYER_FROZEN, 0), -EPERM);
        ASSERT_EQ(check(&f, "listed/below", LAYER_LOWER, 0), -EPERM);
        ASSERT_EQ(check(&f, "", LAYER_LOWER, 0), -EPERM);
        ASSERT_EQ(check(&f, "store/volumes/a", LAYER_LOWER, 0), -EPERM);
        list(&f, "host", "listed/below");
        ASSERT_EQ(check(&f, "listed/below", LAYER_USR, 0), 0);
        ASSERT_EQ(check(&f, "listed", LAYER_LOWER, 0), -EPERM); /* no more */
        list(&f, "tar", "listed");
        ASSERT_EQ(check(&f, "listed", LAYER_LOWER, 0), -EPERM); /* a tar is unpacked into the store */
        tear_down(&f);
}

TEST(by_the_ids_of_images_what_is_in_the_store) {
        static const LayerKind kinds[] = { LAYER_LOWER, LAYER_UPPER, LAYER_USR, LAYER_FROZEN };
        Fixture f;

        set_up(&f);
        list(&f, "dir", "listed");
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                ASSERT_EQ(check(&f, "store/volumes/a", kinds[i], FOREIGN_ID_FIRST), 0);
                ASSERT_EQ(check(&f, "store", kinds[i], FOREIGN_ID_FIRST), -EPERM);
                ASSERT_EQ(check(&f, "storeroom", kinds[i], FOREIGN_ID_FIRST), -EPERM);
                ASSERT_EQ(check(&f, "listed", kinds[i], FOREIGN_ID_FIRST), -EPERM);
        }
        tear_down(&f);
}

/* As it is when the service that opened it was killed: its mounts have ended, and names begin at theirs. */
TEST(of_a_mount_that_is_gone) {
        static const struct { const char *root, *below; int expect; } cases[] = {
                { "store",  "volumes/a", 0      },
                { "listed", "below",     -EPERM },
        };
        Fixture f;

        if (geteuid() != 0)
                skip();
        set_up(&f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int fd = -EBADF;
                char path[128];
                int tree;

                tree = (int) syscall(SYS_open_tree, AT_FDCWD, path_of(&f, cases[i].root, path),
                                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
                ASSERT_OK(tree);
                fd = openat(tree, cases[i].below, O_PATH | O_DIRECTORY | O_CLOEXEC);
                close(tree);
                ASSERT_OK(fd);
                ASSERT_EQ(trees_check_store(&f.trees, fd), cases[i].expect);
        }
        tear_down(&f);
}

TEST(an_entry_is_that_very_directory) {
        _cleanup_close_ int a = -EBADF, outside = -EBADF;
        Fixture f;

        set_up(&f);
        a = open_path(&f, "store/volumes/a");
        outside = open_path(&f, "listed");
        ASSERT_EQ(trees_check_entry(&f.trees, a, "volumes/a"), 0);
        ASSERT_EQ(trees_check_entry(&f.trees, a, "volumes/b"), -EPERM);
        ASSERT_EQ(trees_check_entry(&f.trees, a, "volumes/c"), -EPERM);
        ASSERT_EQ(trees_check_entry(&f.trees, outside, "volumes/a"), -EPERM);
        tear_down(&f);
}

TEST(what_is_no_directory) {
        _cleanup_close_ int memory = memfd_create("m", MFD_CLOEXEC);
        int ends[2];
        Fixture f;

        set_up(&f);
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        ASSERT_EQ(trees_check_layer(&f.trees, &(Layer) { ends[0], LAYER_LOWER, 0 }), -EPERM);
        ASSERT_EQ(trees_check_layer(&f.trees, &(Layer) { memory, LAYER_LOWER, FOREIGN_ID_FIRST }), -EPERM);
        ASSERT_EQ(trees_check_entry(&f.trees, memory, "volumes/a"), -EPERM);
        close_many(ends, 2);
        tear_down(&f);
}
