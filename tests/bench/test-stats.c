/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "tests/bench/stats.h"
#include "tests/test.h"

TEST(percentiles) {
        static const struct {
                size_t n;
                double percent, expected;
        } cases[] = {
                { 1,   50, 1  }, { 1,   95, 1  }, { 2,   50, 1  }, { 3,   50, 2   }, { 4,   50, 2 },
                { 100, 50, 50 }, { 100, 95, 95 }, { 100, 0,  1  }, { 100, 100, 100 }, { 19, 95, 19 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Samples s = {};

                /* 1 to n, from both ends, so that they do not come sorted */
                for (size_t k = 0; k < cases[i].n; k++)
                        ASSERT_OK(samples_add(&s, (double) (k % 2 == 0 ? cases[i].n - k / 2 : k / 2 + 1)));
                ASSERT_EQ((int) samples_percentile(&s, cases[i].percent), (int) cases[i].expected);
                samples_done(&s);
        }
}

TEST(no_samples) {
        Samples s = {};

        ASSERT_TRUE(isnan(samples_percentile(&s, 50)));
        samples_done(&s);
        ASSERT_EQ(s.n, 0);
}

TEST(verdicts) {
        static const struct {
                double ratio, bar;
                Direction direction;
                bool ok;
        } cases[] = {
                { 0.2,      0.2, AT_MOST,  true  }, { 0.21,     0.2, AT_MOST,  false },
                { 0.4,      0.4, AT_LEAST, true  }, { 0.39,     0.4, AT_LEAST, false },
                { NAN,      1,   AT_MOST,  false }, { NAN,      1,   AT_LEAST, false },
                { INFINITY, 1,   AT_LEAST, false }, { 0,        0,   AT_MOST,  true  },
                { NAN,      0,   NO_BAR,   true  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(verdict(cases[i].ratio, cases[i].direction, cases[i].bar), cases[i].ok);
}
