/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/store.h"
#include "tests/test.h"

/* Who stands on what, in a store of its own: snapshots that were made of roots, and what is left when a step of it is
 * the last one. */

#define BOX_A "000000000000000000000000000000aa"
#define BOX_B "000000000000000000000000000000bb"
#define SNAP_1 "snap_111111111111111111111111"
#define SNAP_2 "snap_222222222222222222222222"
#define SNAP_3 "snap_333333333333333333333333"

static char directory[] = "/tmp/test-store.XXXXXX";
static Store store;

static void begin(void) {
        if (geteuid() != 0)
                test_skip("needs root, to give directories away");
        strcpy(directory, "/tmp/test-store.XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(directory));
        ASSERT_OK(store_open(directory, &store));
}

static void end(void) {
        char command[64];

        store_done(&store);
        ASSERT_TRUE(snprintf(command, sizeof command, "rm -rf %s", directory) < (int) sizeof command);
        ASSERT_EQ(system(command), 0);
}

static bool exists(int directory_fd, const char *name) {
        return faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static uint64_t inode_of(int directory_fd, const char *name) {
        struct stat st;

        ASSERT_OK(fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0);
        return st.st_ino;
}

static void make_box(const char *id) {
        int fd;

        ASSERT_OK(store_open_root(&store, id, &fd));
        close(fd);
        ASSERT_OK(store_set_use(&store, id, "host-layer"));
}

static void share(const char *id, const char *snapshot) {
        _cleanup_free_ char *begun = NULL;

        ASSERT_OK(store_begin_share(&store, id, snapshot, &begun));
        ASSERT_STREQ(begun, snapshot);
        ASSERT_OK(store_end_share(&store, id, snapshot));
}

static void assert_base(const char *id, const char *expected) {
        _cleanup_free_ char *base = NULL;
        int r = store_get_base(&store, id, &base);

        ASSERT_EQ(r, expected ? 0 : -ENOENT);
        if (expected)
                ASSERT_STREQ(base, expected);
}

/* NULL: it stays, in use. */
static bool is_retired(const char *snapshot) {
        _cleanup_free_ char *name = NULL;

        ASSERT_OK(store_retire_snapshot(&store, snapshot, &name));
        return name;
}

static unsigned retire_unwanted(void) {
        unsigned n = 0;

        for (;; n++) {
                _cleanup_free_ char *name = NULL;
                int r = store_retire_unwanted(&store, &name);

                if (r == -ENOENT)
                        return n;
                ASSERT_OK(r);
        }
}

TEST(a_root_becomes_a_snapshot) {
        uint64_t inode;
        struct stat st;

        begin();
        make_box(BOX_A);
        inode = inode_of(store.roots_fd, BOX_A);
        assert_base(BOX_A, NULL);
        share(BOX_A, SNAP_1);
        ASSERT_EQ(inode_of(store.snapshots_fd, SNAP_1), inode);
        ASSERT_TRUE(inode_of(store.roots_fd, BOX_A) != inode);
        ASSERT_OK(fstatat(store.snapshots_fd, SNAP_1, &st, 0));
        ASSERT_EQ(st.st_uid, FOREIGN_BASE);
        assert_base(BOX_A, SNAP_1);
        end();
}

TEST(they_stand_on_each_other) {
        _cleanup_free_ char *below = NULL, *layer = NULL, *none = NULL;

        begin();
        make_box(BOX_A);
        share(BOX_A, SNAP_1);
        share(BOX_A, SNAP_2);
        ASSERT_OK(store_get_snapshot_below(&store, SNAP_2, &below));
        ASSERT_STREQ(below, SNAP_1);
        ASSERT_EQ(store_get_snapshot_below(&store, SNAP_1, &none), -ENOENT);
        ASSERT_OK(store_get_snapshot_layer(&store, SNAP_2, &layer));
        ASSERT_STREQ(layer, "host-layer");

        /* Both were deleted, the sandbox ends, another one stands on the upper one. */
        ASSERT_OK(store_use_snapshot(&store, BOX_B, SNAP_2));
        ASSERT_FALSE(is_retired(SNAP_1));
        ASSERT_FALSE(is_retired(SNAP_2));
        store_forget_use(&store, BOX_A);
        ASSERT_EQ(retire_unwanted(), 0);
        store_forget_use(&store, BOX_B);
        ASSERT_EQ(retire_unwanted(), 2);
        end();
}

TEST(a_share_that_was_interrupted) {
        _cleanup_free_ char *begun = NULL, *again = NULL, *below = NULL;
        int written_fd, next_fd;
        uint64_t inode;

        begin();
        make_box(BOX_A);
        share(BOX_A, SNAP_1);
        inode = inode_of(store.roots_fd, BOX_A);
        ASSERT_OK(store_begin_share(&store, BOX_A, SNAP_2, &begun));
        assert_base(BOX_A, NULL); /* nobody knows where it writes */
        ASSERT_OK(store_begin_share(&store, BOX_A, SNAP_3, &again));
        ASSERT_STREQ(again, SNAP_2);

        /* All but the last step of the end: what it wrote has its name. */
        ASSERT_OK(store_note_base(&store, SNAP_2, BOX_A));
        ASSERT_OK(store_use_snapshot(&store, BOX_A, SNAP_2));
        ASSERT_OK(renameat(store.roots_fd, BOX_A, store.snapshots_fd, SNAP_2));
        ASSERT_OK(store_open_share(&store, BOX_A, SNAP_2, &written_fd, &next_fd));
        close(written_fd);
        close(next_fd);
        ASSERT_OK(store_end_share(&store, BOX_A, SNAP_2));
        ASSERT_EQ(inode_of(store.snapshots_fd, SNAP_2), inode);
        ASSERT_TRUE(exists(store.roots_fd, BOX_A));
        ASSERT_OK(store_get_snapshot_below(&store, SNAP_2, &below));
        ASSERT_STREQ(below, SNAP_1);
        assert_base(BOX_A, SNAP_2);
        end();
}

/* It was ours for the moment of its move. */
TEST(an_owner_is_put_right) {
        struct stat st;

        begin();
        make_box(BOX_A);
        ASSERT_OK(fchownat(store.roots_fd, BOX_A, geteuid(), getegid(), 0));
        store_mend_shares(&store);
        ASSERT_OK(fstatat(store.roots_fd, BOX_A, &st, 0));
        ASSERT_EQ(st.st_uid, FOREIGN_BASE);
        end();
}

TEST(a_share_ends_with_its_root) {
        _cleanup_free_ char *begun = NULL, *name = NULL, *old = NULL, *none = NULL;

        begin();
        make_box(BOX_A);
        ASSERT_OK(store_begin_share(&store, BOX_A, SNAP_1, &begun));
        ASSERT_OK(store_retire_root(&store, BOX_A, &name));
        ASSERT_OK(store_set_share_aside(&store, BOX_A));
        ASSERT_OK(store_retire_old_root(&store, BOX_A, &old));
        ASSERT_EQ(store_retire_old_root(&store, BOX_A, &none), -ENOENT);
        ASSERT_EQ(store_end_share(&store, BOX_A, SNAP_1), -ENOENT);
        end();
}

TEST(a_restore_that_failed) {
        _cleanup_free_ char *name = NULL;
        uint64_t inode;
        int fd;

        begin();
        make_box(BOX_A);
        inode = inode_of(store.roots_fd, BOX_A);
        ASSERT_OK(store_use_snapshot(&store, BOX_A, SNAP_1));
        ASSERT_OK(store_use_snapshot(&store, BOX_A, SNAP_2));
        ASSERT_OK(store_use_snapshot(&store, BOX_A, SNAP_1)); /* a second time, and that fails */
        ASSERT_OK(store_set_root_aside(&store, BOX_A, SNAP_1));
        ASSERT_OK(store_open_root(&store, BOX_A, &fd));
        close(fd);
        assert_base(BOX_A, SNAP_1);
        ASSERT_OK(store_unuse_snapshot(&store, BOX_A, SNAP_1));
        ASSERT_EQ(store_take_root_back(&store, BOX_A, SNAP_2, &name), -ENOENT); /* that was another time */
        ASSERT_NULL(name);
        ASSERT_OK(store_take_root_back(&store, BOX_A, SNAP_1, &name));
        ASSERT_NOT_NULL(name);
        assert_base(BOX_A, SNAP_2);
        ASSERT_EQ(inode_of(store.roots_fd, BOX_A), inode);
        ASSERT_FALSE(is_retired(SNAP_1)); /* as it was before */
        ASSERT_OK(store_unuse_snapshot(&store, BOX_A, SNAP_2));
        assert_base(BOX_A, SNAP_1);
        end();
}

TEST(notes_go_with_what_they_are_of) {
        int fd;

        begin();
        make_box(BOX_A);
        ASSERT_OK(store_make_snapshot(&store, SNAP_1, BOX_A, &fd));
        close(fd);
        store_retire_unfinished(&store);
        ASSERT_EQ(store_publish_snapshot(&store, SNAP_1, 1000), -ENOENT);
        ASSERT_FALSE(exists(store.snapshots_fd, ".size-" SNAP_1));
        ASSERT_OK(store_make_snapshot(&store, SNAP_2, BOX_A, &fd));
        close(fd);
        ASSERT_OK(store_publish_snapshot(&store, SNAP_2, 1000));
        ASSERT_EQ(store_get_snapshot_size(&store, SNAP_2), 1000);
        ASSERT_OK(symlinkat("host-layer", store.snapshots_fd, ".layer-" SNAP_3)); /* we died before it was gone */
        store_drop_notes(&store);
        ASSERT_FALSE(exists(store.snapshots_fd, ".layer-" SNAP_3));
        ASSERT_TRUE(exists(store.snapshots_fd, ".layer-" SNAP_2));
        ASSERT_TRUE(is_retired(SNAP_2));
        ASSERT_FALSE(exists(store.snapshots_fd, ".layer-" SNAP_2));
        ASSERT_FALSE(exists(store.snapshots_fd, ".size-" SNAP_2));
        end();
}

TEST(earlier_ones_are_forgotten) {
        begin();
        make_box(BOX_A);
        ASSERT_OK(store_use_snapshot(&store, BOX_A, SNAP_1));
        ASSERT_OK(store_use_snapshot(&store, BOX_A, SNAP_2));
        ASSERT_OK(store_forget_earlier(&store, BOX_A));
        assert_base(BOX_A, SNAP_2);
        ASSERT_FALSE(exists(store.roots_fd, ".snap-" BOX_A "-" SNAP_1));
        end();
}
