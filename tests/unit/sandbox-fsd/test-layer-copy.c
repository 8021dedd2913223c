/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox-fsd/layer-copy.h"
#include "tests/test.h"

/* Two uppers over an image, as directories t (topmost), b and i, into r. */
static char root[] = "/tmp/layer-copy.XXXXXX";

static void sh(const char *command) {
        char line[2048];

        ASSERT_TRUE(snprintf(line, sizeof line, "cd %s && %s", root, command) < (int) sizeof line);
        ASSERT_EQ(system(line), 0);
}

static int open_in(const char *name) {
        char path[64];
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
