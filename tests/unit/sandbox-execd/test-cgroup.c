/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-execd/cgroup.h"
#include "tests/test.h"

TEST(parse_key) {
        static const char text[] = "populated_x 7\npopulated 1\nfrozen 0\nbig 18446744073709551616\nword x\nlast 9";
        static const struct {
                const char *key;
                int result;
                uint64_t value;
        } cases[] = {
                { "populated", 0,        1 },
                { "frozen",    0,        0 },
                { "last",      0,        9 },
                { "big",       -EBADMSG, 0 },
                { "word",      -EBADMSG, 0 },
                { "pop",       -ENODATA, 0 },
                { "",          -ENODATA, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 0;

                ASSERT_EQ(cgroup_parse_key(text, cases[i].key, &value), cases[i].result);
                ASSERT_EQ(value, cases[i].value);
        }
}

TEST(parse_u64) {
        uint64_t value;

        ASSERT_OK(cgroup_parse_u64("max", &value));
        ASSERT_TRUE(value == UINT64_MAX);
        ASSERT_OK(cgroup_parse_u64("4096", &value));
        ASSERT_EQ(value, 4096);
        ASSERT_EQ(cgroup_parse_u64("maximum", &value), -EINVAL);
        ASSERT_EQ(cgroup_parse_u64("", &value), -EINVAL);
}

TEST(parse_io_stat) {
        uint64_t in, out;

        ASSERT_OK(cgroup_parse_io_stat("8:0 rbytes=100 wbytes=7 rios=1 wios=2 dbytes=9 dios=0\n"
                                       "8:16 rbytes=20 wbytes=3 rios=1\n", &in, &out));
        ASSERT_EQ(in, 120);
        ASSERT_EQ(out, 10);
        ASSERT_OK(cgroup_parse_io_stat("", &in, &out));
        ASSERT_EQ(in + out, 0);
        ASSERT_EQ(cgroup_parse_io_stat("8:0 rbytes=x", &in, &out), -EBADMSG);
}

TEST(parse_controllers) {
        _cleanup_free_ char *text = NULL;

        ASSERT_OK(cgroup_parse_controllers("cpuset cpu io\n", &text));
        ASSERT_STREQ(text, "+cpuset +cpu +io");
        text = mfree(text);
        ASSERT_EQ(cgroup_parse_controllers("\n", &text), -ENODATA);
        ASSERT_NULL(text);
}

TEST(scope_path) {
        char path[64], small[16];

        ASSERT_OK(cgroup_scope_path(3, "sandbox-x.scope", path, sizeof path));
        ASSERT_STREQ(path, "/sandbox.slice/sandbox-3.slice/sandbox-x.scope");
        ASSERT_EQ(cgroup_scope_path(3, "sandbox-x.scope", small, sizeof small), -ENAMETOOLONG);
}

/* Directories are directories: the walk itself needs no cgroup. */
TEST(remove_tree) {
        char directory[] = "/tmp/test-cgroup.XXXXXX";
        _cleanup_close_ int fd = -EBADF;

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(cgroup_make(fd, "a"));
        ASSERT_OK(cgroup_make(fd, "a"));
        ASSERT_OK(cgroup_make(fd, "a/b"));
        ASSERT_EQ(cgroup_remove_tree(fd, "a/b"), 0);
        ASSERT_EQ(cgroup_remove_tree(fd, "a"), 0);
        ASSERT_EQ(faccessat(fd, "a", F_OK, 0), -1);
        ASSERT_EQ(cgroup_remove_tree(fd, "a"), 0);
        ASSERT_EQ(cgroup_is_populated(fd), 0); /* no such file: the cgroup is gone */
        ASSERT_EQ(cgroup_kill(fd), 0);
        ASSERT_EQ(rmdir(directory), 0);
}

TEST(read_pids) {
        char directory[] = "/tmp/test-cgroup.XXXXXX";
        _cleanup_free_ pid_t *pids = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t n;

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(write_file_atomic_at(fd, "procs", "12\n0\n4194304\n99999999999\n", 0600));
        ASSERT_OK(cgroup_read_pids(fd, "procs", &pids, &n));
        ASSERT_EQ(n, 2);
        ASSERT_EQ(pids[0], 12);
        ASSERT_EQ(pids[1], 4194304);
        ASSERT_EQ(unlinkat(fd, "procs", 0), 0);
        ASSERT_EQ(cgroup_read_pids(fd, "procs", &pids, &n), -ENOENT);
        ASSERT_EQ(rmdir(directory), 0);
}
