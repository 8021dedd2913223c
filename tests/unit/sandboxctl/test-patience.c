/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "sandboxctl/patience.h"
#include "tests/test.h"

static bool wait_after(Patience *p, int r, long status) {
        return patience_wait(p, r, &(TransferResult) { .status = status }, -1);
}

TEST(what_is_worth_another_try) {
        static const struct {
                int r;
                long status;
                bool at_first, met;
        } cases[] = {
                { -ECONNRESET,   0,   true,  true  },
                { -ECONNREFUSED, 0,   false, true  }, /* a server that was never there is not waited for */
                { -ENOMEM,       0,   false, false },
                { -EINTR,        0,   false, false },
                { 0,             400, false, false },
                { 0,             404, false, false },
                { 0,             409, false, true  },
                { 0,             502, false, true  },
                { 0,             503, false, true  },
                { 0,             507, false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Patience p;

                patience_begin(&p);
                ASSERT_EQ(wait_after(&p, cases[i].r, cases[i].status), cases[i].at_first);
                patience_renew(&p);
                ASSERT_EQ(wait_after(&p, cases[i].r, cases[i].status), cases[i].met);
        }
}

TEST(ends) {
        Patience p;
        int fds[2];

        patience_begin(&p);
        patience_renew(&p);
        for (unsigned i = 0; i < 5; i++)
                ASSERT_TRUE(wait_after(&p, 0, 409));
        ASSERT_FALSE(wait_after(&p, 0, 409)); /* it is meant */
        ASSERT_TRUE(wait_after(&p, -ECONNRESET, 0));

        patience_renew(&p);
        p.since_msec -= 61000; /* nothing has moved for a minute */
        ASSERT_FALSE(wait_after(&p, -ECONNRESET, 0));

        patience_renew(&p);
        ASSERT_EQ(pipe(fds), 0);
        ASSERT_FALSE(!patience_wait(&p, -ECONNRESET, &(TransferResult) {}, fds[0]));
        close(fds[1]); /* somebody wants an end */
        ASSERT_FALSE(patience_wait(&p, -ECONNRESET, &(TransferResult) {}, fds[0]));
        close(fds[0]);
}
