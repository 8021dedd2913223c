/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/egress-entry.h"
#include "tests/test.h"

TEST(parse) {
        static const struct {
                const char *text, *written; /* NULL: refused */
        } cases[] = {
                { "192.0.2.1",             "192.0.2.1"           },
                { "192.0.2.1/32",          "192.0.2.1"           },
                { "192.0.2.0/24:443",      "192.0.2.0/24:443"    },
                { "0.0.0.0/0",             "0.0.0.0/0"           },
                { "Example.ORG",           "example.org"         },
                { "example.org.",          "example.org"         },
                { "*.Example.org:8443",    "*.example.org:8443"  },
                { "_dmarc.example.org",    "_dmarc.example.org"  },
                { "xn--bcher-kva.example", "xn--bcher-kva.example" },
                { "intranet",              "intranet"            },
                { "",                      NULL                  },
                { "*",                     NULL                  },
                { "*.",                    NULL                  },
                { ".",                     NULL                  },
                { "a..b",                  NULL                  },
                { "*.*.org",               NULL                  },
                { "a.*.org",               NULL                  },
                { "b\xc3\xbc" "cher.example", NULL               },
                { "a b",                   NULL                  },
                { "a;b",                   NULL                  },
                { "10.0.0.1/8",            NULL                  },
                { "10.0.0.0/33",           NULL                  },
                { "1.2.3",                 NULL                  },
                { "256.1.1.1",             NULL                  },
                { "example.1",             NULL                  },
                { "::/0",                  NULL                  },
                { "example.org:0",         NULL                  },
                { "example.org:65536",     NULL                  },
                { "example.org:",          NULL                  },
                { "example.org:80:80",     NULL                  },
                { "https://example.org",   NULL                  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[EGRESS_ENTRY_MAX];
                EgressEntry e, again;
                int r = egress_entry_parse(cases[i].text, &e);

                if (!cases[i].written) {
                        if (r != -EINVAL)
                                print_error("%s\n", cases[i].text);
                        ASSERT_EQ(r, -EINVAL);
                        continue;
                }
                ASSERT_OK(r);
                ASSERT_STREQ(egress_entry_format(&e, text), cases[i].written);
                ASSERT_OK(egress_entry_parse(text, &again));
                ASSERT_EQ(egress_entry_mark(&e), egress_entry_mark(&again));
                ASSERT_TRUE(egress_mark_is_valid(egress_entry_mark(&e)));
        }
}

TEST(lengths) {
        char name[EGRESS_NAME_MAX + 8];
        EgressEntry e;

        memset(name, 'a', sizeof name);
        for (size_t i = 63; i < sizeof name; i += 64)
                name[i] = '.';
        name[EGRESS_NAME_MAX] = 0;
        ASSERT_OK(egress_entry_parse(name, &e));
        name[EGRESS_NAME_MAX] = 'a';
        name[EGRESS_NAME_MAX + 1] = 0;
        ASSERT_EQ(egress_entry_parse(name, &e), -EINVAL);
        memset(name, 'a', 64);
        name[64] = 0;
        ASSERT_EQ(egress_entry_parse(name, &e), -EINVAL);
}

TEST(matches) {
        static const struct {
                const char *entry, *name;
                bool matches;
        } cases[] = {
                { "example.org",   "example.org",       true  },
                { "example.org",   "www.example.org",   false },
                { "example.org",   "example.organic",   false },
                { "*.example.org", "www.example.org",   true  },
                { "*.example.org", "a.b.example.org",   true  },
                { "*.example.org", "example.org",       false },
                { "*.example.org", ".example.org",      false },
                { "*.example.org", "evilexample.org",   false },
                { "*.example.org", "example.org.evil",  false },
                { "192.0.2.1",     "192.0.2.1",         false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                EgressEntry e;

                ASSERT_OK(egress_entry_parse(cases[i].entry, &e));
                ASSERT_EQ(egress_entry_matches(&e, cases[i].name), cases[i].matches);
        }
}

TEST(marks_differ) {
        static const char *const entries[] = { "example.org", "*.example.org", "example.org:443", "example.com" };

        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                for (size_t j = 0; j < i; j++)
                        ASSERT_TRUE(egress_mark(entries[i]) != egress_mark(entries[j]));
}
