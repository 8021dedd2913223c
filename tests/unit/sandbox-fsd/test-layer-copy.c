/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox-fsd/layer-copy.h"
#include "tests/test.h"

/* Two uppers over an image, as directories t (topmost), b and i, into r. */
static char root[64] = "/tmp/layer-copy.XXXXXX";

static void sh(const char *command) {
        char line[2048];

        ASSERT_TRUE(snprintf(line, sizeof line, "cd %s && %s", root, command) < (int) sizeof line);
        ASSERT_EQ(system(line), 0);
}

static int open_in(const char *name) {
        char path[128];
        int fd;

        (void) snprintf(path, sizeof path, "%s/%s", root, name);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd < 0 ? -errno : 0);
        return fd;
}

static void begin(void) {
        strcpy(root, "/tmp/layer-copy.XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(root));
        sh("mkdir -p t/u t/u2 b/u b/u2 i/u i/u2 r/u r/u2");
}

static int copy(uint64_t bytes_max, LayerCopy *ret) {
        int sources[] = { open_in("t"), open_in("b") }, r;
        LayerCopy c = { .sources = sources, .n_sources = 2, .target_fd = open_in("r"),
                        .below_fds = { open_in("i/u"), open_in("i/u2") }, .bytes_max = bytes_max };

        r = layer_copy(&c);
        for (size_t i = 0; i < 2; i++) {
                close(sources[i]);
                close(c.below_fds[i]);
        }
        close(c.target_fd);
        *ret = c;
        return r;
}

static void need_root(void) {
        if (geteuid() != 0)
                test_skip("needs root, to make whiteouts");
}

TEST(the_topmost_counts) {
        LayerCopy c;

        begin();
        sh("echo top >t/u/both; echo bottom >b/u/both; echo bottom >b/u/one; mkdir t/u/d b/u/d; echo t >t/u/d/t; "
           "echo b >b/u/d/b; ln b/u/one b/u/d/again; ln -s /nowhere t/u/link; truncate -s 1M t/u/hole");
        ASSERT_OK(copy(UINT64_MAX / 2, &c));
        sh("[ $(cat r/u/both) = top ] && [ $(cat r/u/one) = bottom ] && [ $(ls r/u/d | wc -l) = 3 ] && "
           "[ r/u/one -ef r/u/d/again ] && [ $(readlink r/u/link) = /nowhere ] && [ $(stat -c %b r/u/hole) = 0 ]");
        ASSERT_TRUE(c.files >= 8);
        sh("rm -r $PWD");
}

TEST(whiteouts_hide_what_the_image_has) {
        LayerCopy c;

        need_root();
        begin();
        sh("mkdir -p i/u/d b/u/d t/u/d b/u/new t/u/new; touch i/u/d/a i/u/gone b/u/d/b b/u/new/c; mknod t/u/d/a c 0 0; "
           "mknod t/u/d/b c 0 0; mknod t/u/new/c c 0 0; mknod t/u/gone c 0 0");
        ASSERT_OK(copy(UINT64_MAX / 2, &c));
        sh("[ -c r/u/d/a ] && [ -c r/u/gone ] && [ ! -e r/u/d/b ] && [ ! -e r/u/new/c ] && [ -d r/u/new ]");
        sh("rm -r $PWD");
}

TEST(a_directory_over_a_file_is_opaque) {
        LayerCopy c;

        need_root();
        begin();
        sh("mkdir -p i/u/d t/u/d; touch i/u/d/a t/u/d/new; mknod b/u/d c 0 0");
        ASSERT_OK(copy(UINT64_MAX / 2, &c));
        sh("[ \"$(python3 -c 'import os; print(os.getxattr(\"r/u/d\", \"user.overlay.opaque\").decode())')\" = y ]");
        sh("rm -r $PWD");
}

TEST(it_is_bounded) {
        LayerCopy c;

        begin();
        sh("head -c 100000 /dev/zero >t/u/f");
        ASSERT_EQ(copy(50000, &c), -EFBIG);
        sh("rm -r $PWD");
}

static bool has_shared_blocks(const char *name) {
        struct fiemap *map = calloc(1, sizeof *map + sizeof map->fm_extents[0]);
        char path[128];
        bool shared;
        int fd;

        ASSERT_NOT_NULL(map);
        map->fm_length = FIEMAP_MAX_OFFSET;
        map->fm_flags = FIEMAP_FLAG_SYNC;
        map->fm_extent_count = 1;

        (void) snprintf(path, sizeof path, "%s/%s", root, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ASSERT_OK(fd < 0 ? -errno : 0);
        ASSERT_OK(ioctl(fd, FS_IOC_FIEMAP, map) < 0 ? -errno : 0);
        close(fd);
        ASSERT_EQ(map->fm_mapped_extents, 1);
        shared = map->fm_extents[0].fe_flags & FIEMAP_EXTENT_SHARED;
        free(map);
        return shared;
}

/* In a mount namespace of our own. false: there is nothing to make such a file system with, or to mount it. */
static bool mount_xfs(void) {
        char command[256];

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
                return false;
        (void) snprintf(command, sizeof command,
                        "cd %s && mkdir m && truncate -s 320M fs && PATH=$PATH:/usr/sbin:/sbin && "
                        "mkfs.xfs -q fs >/dev/null 2>&1 && mount -o loop fs m 2>/dev/null", root);
        return system(command) == 0;
}

/* Where the file system can, a copy takes no room of its own; and it is a copy all the same. */
TEST(blocks_are_shared_where_they_can_be) {
        char outer[sizeof root];
        LayerCopy c;

        strcpy(root, "/tmp/layer-copy.XXXXXX");
        strcpy(outer, root);
        ASSERT_NOT_NULL(mkdtemp(outer));
        strcpy(root, outer);
        if (!mount_xfs()) {
                print_message("no XFS here: not tested\n");
                sh("rm -r $PWD");
                return;
        }
        sh("cd m && mkdir -p t/u t/u2 b/u b/u2 i/u i/u2 r/u r/u2");
        sh("cd m && head -c 1000000 /dev/urandom >t/u/f && head -c 1000000 t/u/f >copy && sync");
        ASSERT_FALSE(has_shared_blocks("m/t/u/f"));
        strcat(root, "/m");
        ASSERT_OK(copy(UINT64_MAX / 2, &c));
        ASSERT_TRUE(has_shared_blocks("t/u/f"));
        ASSERT_TRUE(has_shared_blocks("r/u/f"));
        ASSERT_TRUE(c.bytes >= 1000000); /* what it would take alone */
        sh("echo changed >>t/u/f && cmp r/u/f copy");
        strcpy(root, outer);
        sh("umount m && rm -r $PWD");
}
