/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-execd/id-range.h"
#include "tests/test.h"

TEST(take_all) {
        _cleanup_(id_ranges_freep) IdRanges *r = id_ranges_new();
        uint32_t base, previous = 0;

        ASSERT_NOT_NULL(r);
        for (uint32_t i = 0; i < ID_RANGES; i++) {
                ASSERT_OK(id_ranges_take(r, &base));
                ASSERT_TRUE(base >= ID_RANGE_FIRST && base % ID_RANGE_SIZE == 0 && base > previous);
                ASSERT_TRUE(base + ID_RANGE_SIZE <= ID_RANGE_END);
                previous = base;
        }
        ASSERT_EQ(id_ranges_take(r, &base), -ENOSPC);
        id_ranges_release(r, previous);
        ASSERT_OK(id_ranges_take(r, &base));
        ASSERT_EQ(base, previous);
}

TEST(released_range_rests) {
        _cleanup_(id_ranges_freep) IdRanges *r = id_ranges_new();
        uint32_t first, second;

        ASSERT_OK(id_ranges_take(r, &first));
        id_ranges_release(r, first);
        ASSERT_OK(id_ranges_take(r, &second));
        ASSERT_NE(first, second);
        ASSERT_EQ(id_ranges_used(r), 1);
}

TEST(claim) {
        static const struct {
                uint32_t base;
                int result;
        } cases[] = {
                { ID_RANGE_FIRST,                     0       },
                { ID_RANGE_FIRST,                     -EEXIST }, /* never two owners */
                { ID_RANGE_FIRST + 1,                 -EINVAL },
                { 0,                                  -EINVAL }, /* the host's own */
                { ID_RANGE_FIRST - ID_RANGE_SIZE,     -EINVAL },
                { ID_RANGE_END - ID_RANGE_SIZE,       0       },
                { ID_RANGE_END,                       -EINVAL },
                { UINT32_MAX,                         -EINVAL },
        };
        _cleanup_(id_ranges_freep) IdRanges *r = id_ranges_new();
        uint32_t base;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(id_ranges_claim(r, cases[i].base), cases[i].result);
        ASSERT_EQ(id_ranges_used(r), 2);
        ASSERT_OK(id_ranges_take(r, &base));
        ASSERT_NE(base, ID_RANGE_FIRST);
}

TEST(release_foreign) {
        _cleanup_(id_ranges_freep) IdRanges *r = id_ranges_new();

        id_ranges_release(r, 0);
        id_ranges_release(r, ID_RANGE_FIRST);
        ASSERT_EQ(id_ranges_used(r), 0);
}
