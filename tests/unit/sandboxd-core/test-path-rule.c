/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/path-rule.h"

#include <string.h>

#include "libsandbox/bus-errors.h"
#include "tests/test.h"

TEST(in_workspace) {
        static const struct {
                const char *workspace, *path, *expect; /* NULL: refused */
        } cases[] = {
                { "/workspace",  "a",                            "/workspace/a"     },
                { "/workspace",  "./a//b/",                      "/workspace/a/b"   },
                { "/workspace",  ".",                            "/workspace"       },
                { "/workspace",  "/workspace",                   "/workspace"       },
                { "/workspace/", "/workspace/",                  "/workspace"       },
                { "/workspace",  "/workspace/a..b",              "/workspace/a..b"  },
                { "/workspace",  "//workspace///x",              "/workspace/x"     },
                { "/",           "/etc/passwd",                  "/etc/passwd"      },
                { "/",           "x",                            "/x"               },
                { "/workspace",  "/etc/passwd",                  NULL               },
                { "/workspace",  "/workspaces",                  NULL               },
                { "/workspace",  "..",                           NULL               },
                { "/workspace",  "../../etc/cron.d/evil",        NULL               },
                { "/workspace",  "/workspace/../etc/passwd",     NULL               },
                { "/workspace",  "/workspace/a/../b",            NULL               },
                { "/workspace",  "/../../../etc/hostname",       NULL               },
                { "/workspace",  "a/..",                         NULL               },
                { "/workspace",  "/",                            NULL               },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                _cleanup_free_ char *path = NULL;
                int r = path_in_workspace(cases[i].workspace, cases[i].path, &path, &error);

                if (cases[i].expect) {
                        ASSERT_OK(r);
                        ASSERT_STREQ(path, cases[i].expect);
                } else {
                        ASSERT_STREQ(error.name, BUS_ERROR_PATH_REFUSED);
                        ASSERT_NOT_NULL(strstr(error.message, cases[i].path));
                        ASSERT_NULL(path);
                }
        }
}

TEST(lengths) {
        static char path[5000];
        static const struct {
                size_t component, total;
                bool good;
        } cases[] = { { 255, 255, true }, { 256, 256, false }, { 100, 4000, true }, { 100, 4097, false }, { 0, 0, false } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                _cleanup_free_ char *result = NULL;

                memset(path, 'x', cases[i].total);
                path[cases[i].total] = 0;
                for (size_t k = cases[i].component; k < cases[i].total; k += cases[i].component + 1)
                        path[k] = '/';
                if (cases[i].good)
                        ASSERT_OK(path_in_workspace("/w", path, &result, &error));
                else {
                        ASSERT_TRUE(path_in_workspace("/w", path, &result, &error) < 0);
                        ASSERT_STREQ(error.name, BUS_ERROR_INVALID);
                }
        }
}

TEST(anywhere) {
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;

        ASSERT_OK(path_anywhere("/w", "/etc/../x", &a, NULL));
        ASSERT_STREQ(a, "/etc/../x"); /* the sandbox's kernel resolves it */
        ASSERT_OK(path_anywhere("/w", "x", &b, NULL));
        ASSERT_STREQ(b, "/w/x");
        ASSERT_TRUE(path_anywhere("/w", NULL, &c, NULL) < 0);
}
