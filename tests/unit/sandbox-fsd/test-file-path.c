/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-fsd/file-path.h"
#include "sandbox-fsd/tree-remove.h"
#include "tests/test.h"

TEST(split) {
        static const struct {
                const char *path;
                int expect;
                const char *parent, *name;
        } cases[] = {
                { "/a",         0,       "/",     "a"   },
                { "/a/b",       0,       "/a/",   "b"   },
                { "/a/b//",     0,       "/a/",   "b"   },
                { "//a",        0,       "//",    "a"   },
                { "/a/../b",    0,       "/a/../", "b"  },
                { "/...",       0,       "/",     "..." },
                { "/a\nb",      0,       "/",     "a\nb" },
                { "/",          -EPERM,  NULL,    NULL  },
                { "///",        -EPERM,  NULL,    NULL  },
                { "/.",         -EINVAL, NULL,    NULL  },
                { "/a/..",      -EINVAL, NULL,    NULL  },
                { "/a/../",     -EINVAL, NULL,    NULL  },
                { "",           -EINVAL, NULL,    NULL  },
                { "a",          -EXDEV,  NULL,    NULL  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *parent = NULL, *name = NULL;

                ASSERT_EQ(file_path_split(cases[i].path, &parent, &name), cases[i].expect);
                if (cases[i].expect < 0)
                        continue;
                ASSERT_STREQ(parent, cases[i].parent);
                ASSERT_STREQ(name, cases[i].name);
        }
}

TEST(lengths) {
        char path[FILE_PATH_MAX + 2];

        memset(path, 'a', sizeof path);
        path[0] = '/';
        path[FILE_NAME_MAX + 1] = 0;
        ASSERT_OK(file_path_check(path));
        path[FILE_NAME_MAX + 1] = 'a';
        path[FILE_NAME_MAX + 2] = 0;
        ASSERT_EQ(file_path_check(path), -ENAMETOOLONG);

        for (size_t i = 0; i < sizeof path; i++)
                path[i] = i % 2 == 0 ? '/' : 'a';
        path[FILE_PATH_MAX] = 0;
        ASSERT_OK(file_path_check(path));
        path[FILE_PATH_MAX] = 'a';
        path[FILE_PATH_MAX + 1] = 0;
        ASSERT_EQ(file_path_check(path), -ENAMETOOLONG);
}

TEST(join) {
        _cleanup_free_ char *a = file_path_join("/", "b"), *b = file_path_join("/a", "b"), *c = file_path_join("/a/", "b");

        ASSERT_STREQ(a, "/b");
        ASSERT_STREQ(b, "/a/b");
        ASSERT_STREQ(c, "/a/b");
}

/* Links lead inside the root whatever they say, and never through /proc. */
TEST(containment) {
        _cleanup_close_ int fd = -EBADF, tmp_fd = -EBADF;
        char directory[] = "/tmp/test-path-XXXXXX";
        FileRoot root;
        struct stat st;
        int k;

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        ASSERT_OK(file_root_init(&root, open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC)));
        ASSERT_EQ(mkdirat(fd, "etc", 0755), 0);
        ASSERT_OK(k = openat(fd, "etc/passwd", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
        ASSERT_OK(loop_write(k, "inside", 6));
        safe_close(k);
        ASSERT_EQ(symlinkat("/etc/passwd", fd, "absolute"), 0);
        ASSERT_EQ(symlinkat("../../../../../etc/passwd", fd, "upwards"), 0);
        ASSERT_EQ(symlinkat("/", fd, "root"), 0);

        static const char *const inside[] = {
                "/etc/passwd", "/absolute", "/upwards", "/root/etc/passwd", "/../../etc/passwd", "/etc/../../etc/passwd",
        };
        for (size_t i = 0; i < ELEMENTSOF(inside); i++) {
                k = ASSERT_OK(file_open_regular(&root, inside[i], &st));
                ASSERT_EQ(st.st_size, 6);
                safe_close(k);
        }

        file_root_done(&root);
        tmp_fd = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(tree_remove_at(tmp_fd, directory + strlen("/tmp/"), USEC_INFINITY));
}

/* With the machine's own root there are a /proc, a /sys and a /dev to refuse. */
TEST(kernel_file_systems) {
        static const struct {
                const char *path;
                int expect;
        } cases[] = {
                { "/proc/self/status",    -EPERM },
                { "/proc/self/root/etc",  -ELOOP },
                { "/proc/self/fd/0",      -ELOOP },
                { "/sys/kernel",          -EPERM },
                { "/dev",                 -EPERM },
                { "/dev/pts",             -EPERM },
        };
        FileRoot root;

        ASSERT_OK(file_root_init(&root, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int fd = file_open(&root, cases[i].path, O_PATH);

                if (fd == -ENOENT)
                        continue; /* build roots have none of them */
                if (fd != cases[i].expect)
                        fail_msg("%s: %d", cases[i].path, fd);
        }
        file_root_done(&root);
}
