/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandboxctl/location.h"
#include "tests/test.h"

TEST(parse) {
        static const struct {
                const char *word, *sandbox, *path;
                bool standard;
                int r;
        } cases[] = {
                { "sbx_1:/a/b", "sbx_1", "/a/b", false, 0 },
                { "name:rel", "name", "rel", false, 0 },
                { "name:a:b", "name", "a:b", false, 0 },
                { "name:-", "name", "-", false, 0 },
                { "/a:b", NULL, "/a:b", false, 0 },
                { "./a:b", NULL, "./a:b", false, 0 },
                { "d/a:b", NULL, "d/a:b", false, 0 },
                { "file", NULL, "file", false, 0 },
                { ":x", NULL, ":x", false, 0 },
                { "-", NULL, "-", true, 0 },
                { "", NULL, NULL, false, -EINVAL },
                { "name:", "name", "./", false, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(location_done) Location l = {};

                ASSERT_EQ(location_parse(cases[i].word, &l), cases[i].r);
                if (cases[i].r < 0)
                        continue;
                ASSERT_EQ(!l.sandbox, !cases[i].sandbox);
                if (l.sandbox)
                        ASSERT_STREQ(l.sandbox, cases[i].sandbox);
                ASSERT_STREQ(l.path, cases[i].path);
                ASSERT_EQ(l.standard, cases[i].standard);
        }
}

TEST(names) {
        static const struct {
                const char *path, *name;
        } cases[] = {
                { "/a/b", "b" }, { "b", "b" }, { "/a/b//", "b" }, { "/", NULL }, { "", NULL }, { "/a/..", NULL },
                { ".", NULL },   { "..x", "..x" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *name = path_name(cases[i].path);

                ASSERT_EQ(!name, !cases[i].name);
                if (name)
                        ASSERT_STREQ(name, cases[i].name);
        }
        ASSERT_FALSE(path_name_is_safe("a/b"));
        ASSERT_FALSE(path_name_is_safe(".."));
        ASSERT_FALSE(path_name_is_safe(""));
        ASSERT_TRUE(path_name_is_safe("...") && path_name_is_safe("-"));
}
