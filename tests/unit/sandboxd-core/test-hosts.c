/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "sandboxd/hosts.h"
#include "tests/test.h"

#define BEGIN "# sandboxd: begin, members of networks\n"
#define END "# sandboxd: end of members\n"

TEST(merge) {
        static const struct {
                const char *before, *block, *after;
        } cases[] = {
                { "",                                    "",          ""                                        },
                { "",                                    "1.2.3.4 a\n", BEGIN "1.2.3.4 a\n" END                 },
                { "127.0.0.1 localhost\n",               "",          "127.0.0.1 localhost\n"                   },
                { "127.0.0.1 localhost",                 "1.2.3.4 a\n", "127.0.0.1 localhost\n" BEGIN "1.2.3.4 a\n" END },
                { "x\n" BEGIN "1.2.3.4 a\n" END "y\n",   "",          "x\ny\n"                                  },
                { "x\n" BEGIN "1.2.3.4 a\n" END "y\n",   "1.2.3.5 b\n", "x\n" BEGIN "1.2.3.5 b\n" END "y\n"     },
                /* Half a block is somebody's own text. */
                { BEGIN "y\n",                           "",          BEGIN "y\n"                               },
                { END "y\n",                             "",          END "y\n"                                 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *after = NULL;

                ASSERT_OK(hosts_merge(cases[i].before, strlen(cases[i].before), cases[i].block, &after));
                ASSERT_STREQ(after, cases[i].after);
        }
}
