/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/worker.h"

#include "tests/test.h"

TEST(alive) {
        const Member m = { .heartbeat_msec = 100000 };

        ASSERT_TRUE(worker_is_alive(&m, 100000));
        ASSERT_TRUE(worker_is_alive(&m, 129999));
        ASSERT_FALSE(worker_is_alive(&m, 130000));
        ASSERT_TRUE(worker_is_alive(&m, 90000)); /* of a clock that is ahead of ours */
}

TEST(better) {
        static const struct {
                Member a, b;
                bool expect;
        } cases[] = {
                { { .active = 1, .max = 2 }, { .active = 1, .max = 4 }, true  },
                { { .active = 1, .max = 4 }, { .active = 1, .max = 2 }, false },
                { { .active = 1, .max = 2 }, { .active = 2, .max = 4 }, false }, /* the first of equals */
                { { .active = 9, .max = 10 }, { .active = 10, .max = 10 }, false }, /* full */
                { { .active = 9, .max = 10 }, { .active = 0, .max = 0 }, false },
                { { .active = 9, .max = 0 }, { .active = 9, .max = 10 }, true },
                { { .active = 9, .max = 0 }, { .active = 10, .max = 10 }, false },
                { { .active = 9, .max = 0 }, { .active = 8, .max = 0 }, true },
                { { .active = 8, .max = 0 }, { .active = 9, .max = 0 }, false },
        };
        const Member full = { .active = 3, .max = 3 }, free_one = { .active = 2, .max = 3 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(worker_is_better(&cases[i].a, &cases[i].b), cases[i].expect);
        ASSERT_FALSE(worker_is_better(NULL, &full));
        ASSERT_TRUE(worker_is_better(NULL, &free_one));
}
