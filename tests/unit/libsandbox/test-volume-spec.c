/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "libsandbox/volume-spec.h"
#include "tests/test.h"

TEST(paths) {
        static const struct {
                const char *path;
                bool valid;
        } rows[] = {
                { "/data",           true  },
                { "/a/b/c",          true  },
                { "/a/..b/.c/...",   true  },
                { "/tmp/x",          true  },
                { "/development",    true  },
                { "/a/proc",         true  },
                { "",                false },
                { "/",               false },
                { "data",            false },
                { "//data",          false },
                { "/data/",          false },
                { "/a//b",           false },
                { "/a/./b",          false },
                { "/a/../b",         false },
                { "/..",             false },
                { "/a/.",            false },
                { "/dev",            false },
                { "/proc/self/root", false },
                { "/sys/fs",         false },
        };
        char text[VOLUME_PATH_MAX + 1];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (volume_path_is_valid(rows[i].path) != rows[i].valid)
                        print_error("'%s'\n", rows[i].path);
                ASSERT_EQ(volume_path_is_valid(rows[i].path), rows[i].valid);
        }

        memset(text, 'x', sizeof text);
        text[0] = '/';
        text[256] = 0; /* a name of 255 */
        ASSERT_TRUE(volume_path_is_valid(text));
        text[256] = 'x';
        text[257] = 0;
        ASSERT_FALSE(volume_path_is_valid(text));
        for (size_t i = 0; i + 1 < sizeof text; i += 2) {
                text[i] = '/';
                text[i + 1] = 'x';
        }
        text[VOLUME_PATH_MAX] = 0;
        ASSERT_FALSE(volume_path_is_valid(text));
        text[VOLUME_PATH_MAX - 2] = 0;
        ASSERT_TRUE(volume_path_is_valid(text));
}
