/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandboxd/context.h"
#include "tests/test.h"

TEST(frames) {
        static const struct {
                const char *data;
                int expect;
                size_t size;
        } cases[] = {
                { "done run_1 0\n",           1,        13 },
                { "result run_1 2\n42more",   1,        17 },
                { "result run_1 2\n4",        0,        0  },
                { "result run_1",             0,        0  },
                { "",                         0,        0  },
                { "done run_1\n",             -EBADMSG, 0  },
                { "done run_1 \n",            -EBADMSG, 0  },
                { "done  0\n",                -EBADMSG, 0  },
                { " run_1 0\n",               -EBADMSG, 0  },
                { "done run_1 -1\n",          -EBADMSG, 0  },
                { "done run_1 1x\n",          -EBADMSG, 0  },
                { "done run_1 65537\n",       -EBADMSG, 0  },
                { "done run_1 99999999999999999999999\n", -EBADMSG, 0 },
                { "DONE run_1 0\n",           -EBADMSG, 0  },
                { "muchtoolong run_1 0\n",    -EBADMSG, 0  },
                { "done 0123456789012345678901234567890123456789 0\n", -EBADMSG, 0 },
                { "................................................................", -EBADMSG, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ContextFrame f;

                ASSERT_EQ(context_frame_parse(cases[i].data, strlen(cases[i].data), &f), cases[i].expect);
                if (cases[i].expect > 0)
                        ASSERT_EQ(f.size, cases[i].size);
        }
}
