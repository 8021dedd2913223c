/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandbox-fsd/tar-name.h"
#include "tests/test.h"

TEST(normalize) {
        static const struct {
                const char *name, *expect; /* NULL: refused */
        } cases[] = {
                { "a",                 "a"      },
                { "./a/b",             "a/b"    },
                { "a/b/",              "a/b"    },
                { "a/b//",             "a/b"    },
                { "./",                ""       },
                { ".",                 ""       },
                { "...",               "..."    },
                { "a..b",              "a..b"   },
                { "a b\n",             "a b\n"  },
                { "\xff",              "\xff"   },
                { "",                  NULL     },
                { "/",                 NULL     },
                { "/etc/x",            NULL     },
                { "../x",              NULL     },
                { "a/../b",            NULL     },
                { "a/..",              NULL     },
                { "././a",             NULL     },
                { "a/./b",             NULL     },
                { "a//b",              NULL     },
                { ".//a",              NULL     },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *name = NULL;
                int r = tar_name_normalize(cases[i].name, &name);

                if (!cases[i].expect)
                        ASSERT_EQ(r, -EBADMSG);
                else {
                        ASSERT_OK(r);
                        ASSERT_STREQ(name, cases[i].expect);
                }
        }
}

TEST(sizes) {
        _cleanup_free_ char *component = NULL, *whole = NULL, *deep = NULL;
        char name[TAR_NAME_MAX + 3] = "", many[TAR_COMPONENTS_MAX * 2 + 4] = "";

        memset(name, 'a', TAR_COMPONENT_MAX);
        ASSERT_OK(tar_name_normalize(name, &component));
        name[TAR_COMPONENT_MAX] = 'a';
        ASSERT_EQ(tar_name_normalize(name, &whole), -EBADMSG);

        for (size_t i = 0; i < TAR_NAME_MAX + 1; i++)
                name[i] = i % 200 == 199 ? '/' : 'a';
        ASSERT_EQ(tar_name_normalize(name, &whole), -EBADMSG);

        for (size_t i = 0; i < TAR_COMPONENTS_MAX; i++)
                strcat(many, "a/");
        ASSERT_OK(tar_name_normalize(many, &deep));
        strcat(many, "a");
        ASSERT_EQ(tar_name_normalize(many, &whole), -EBADMSG);
}

TEST(whiteouts) {
        static const struct {
                const char *component;
                int expect;
                const char *target;
        } cases[] = {
                { "a",             WHITEOUT_NONE,   NULL },
                { ".wh",           WHITEOUT_NONE,   NULL },
                { ".wh.a",         WHITEOUT_ENTRY,  "a"  },
                { ".wh..a",        WHITEOUT_ENTRY,  ".a" },
                { ".wh..wh..opq",  WHITEOUT_OPAQUE, NULL },
                { ".wh..wh.plnk",  -EBADMSG,        NULL },
                { ".wh.",          -EBADMSG,        NULL },
                { ".wh..",         -EBADMSG,        NULL },
                { ".wh...",        -EBADMSG,        NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Whiteout whiteout = WHITEOUT_NONE;
                const char *target = NULL;
                int r = tar_name_whiteout(cases[i].component, &whiteout, &target);

                ASSERT_EQ(r < 0 ? r : (int) whiteout, cases[i].expect);
                if (cases[i].target)
                        ASSERT_STREQ(target, cases[i].target);
        }
}
