/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/string-util.h"
#include "sandboxd/interpreter.h"
#include "tests/test.h"

TEST(packages) {
        static const struct {
                const char *manager, *package;
                bool valid;
        } cases[] = {
                { "pip", "requests",             true  },
                { "pip", "requests==2.31.0",     true  },
                { "pip", "a-b_c.d[x,y]>=1,<2",   true  },
                { "pip", "a~=1.0",               true  },
                { "pip", "-r/etc/passwd",        false },
                { "pip", "--index-url=x",        false },
                { "pip", "a;b",                  false },
                { "pip", "a b",                  false },
                { "pip", "a @ https://h/x",      false },
                { "pip", "https://h/x.tar.gz",   false },
                { "pip", "git+https://h/x",      false },
                { "pip", "./a",                  false },
                { "pip", ".",                    false },
                { "pip", "/etc/passwd",          false },
                { "pip", "a[x",                  false },
                { "pip", "a[",                   false },
                { "pip", "",                     false },
                { "pip", "a\nb",                 false },
                { "pip", "$(id)",                false },
                { "npm", "lodash",               true  },
                { "npm", "lodash@4.17.21",       true  },
                { "npm", "@types/node@^20",      true  },
                { "npm", "@/x",                  false },
                { "npm", "@a/",                  false },
                { "npm", "@a",                   false },
                { "npm", "a/b",                  false },
                { "npm", "a@",                   false },
                { "npm", "a@https://h/x",        false },
                { "npm", "file:../x",            false },
                { "npm", "-g",                   false },
                { "npm", "../x",                 false },
                { "go",  "golang.org/x/tools/gopls@latest", true  },
                { "go",  "github.com/a/b",       true  },
                { "go",  "x/y",                  false },
                { "go",  "./x.y",                false },
                { "go",  "/a.b/x",               false },
                { "go",  "a.b/../../x",          false },
                { "go",  "-toolexec=x",          false },
                { "go",  "a.b/x@",               false },
                { "apt", "git",                  true  },
                { "apt", "g++",                  true  },
                { "apt", "libc6:amd64=2.36-9",   true  },
                { "apt", "bash-",                false },
                { "apt", "a=1-",                 false },
                { "apt", "./x.deb",              false },
                { "apt", "/x.deb",               false },
                { "apt", "-o=x",                 false },
                { "apt", "a/testing",            false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *const packages[] = { (char *) cases[i].package, NULL };
                const PackageManager *p = package_manager_find(cases[i].manager, NULL);
                _cleanup_strv_free_ char **argv = NULL;
                int r;

                ASSERT_NOT_NULL(p);
                r = package_manager_make_argv(p, packages, &argv, NULL);
                if ((r >= 0) != cases[i].valid)
                        print_error("%s %s\n", cases[i].manager, cases[i].package);
                ASSERT_EQ(r >= 0, cases[i].valid);
                if (r >= 0) {
                        size_t n = strv_length(argv);

                        ASSERT_STREQ(argv[n - 2], "--");
                        ASSERT_STREQ(argv[n - 1], cases[i].package);
                }
        }
}

TEST(names) {
        static const struct {
                const char *name, *manager;
        } cases[] = {
                { "pip", "pip" }, { "python", "pip" }, { "npm", "npm" }, { "typescript", "npm" }, { "go", "go" },
                { "node", "npm" }, { "python3", "pip" },
                { "bash", "apt" }, { "cargo", NULL }, { "", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const PackageManager *p = package_manager_find(cases[i].name, NULL);

                ASSERT_TRUE(streq_ptr(p ? p->name : NULL, cases[i].manager));
        }
        ASSERT_NOT_NULL(language_find("go", NULL));
        ASSERT_STREQ(language_find("python3", NULL)->name, "python");
        ASSERT_STREQ(language_find_stateful("node", NULL)->name, "javascript");
        ASSERT_NULL(language_find("Python", NULL));
        ASSERT_NULL(language_find_stateful("go", NULL));
        ASSERT_NOT_NULL(language_find_stateful("bash", NULL));
}
