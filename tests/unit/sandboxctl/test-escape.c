/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/escape.h"

#include <string.h>

#include "tests/test.h"

static const struct {
        const char *keys, *typed;
        bool detach;
} rows[] = {
        { "", "", false },
        { "hello", "hello", false },
        { "a\x1d" "d", "a", true },
        { "a\x1d" "dlost", "a", true },
        { "\x1d\x1d", "\x1d", false },
        { "\x1d\x1d" "d", "\x1d" "d", false },
        { "\x1d\x1d\x1d" "d", "\x1d", true },
        { "\x1dx", "\x1dx", false },
        { "\x1d", "", false },
        { "\x1dx\x1d" "d", "\x1dx", true },
};

/* However the keys come, one by one or in pieces. */
TEST(keys) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (size_t step = 1; step <= strlen(rows[i].keys) + 1; step++) {
                        size_t n = strlen(rows[i].keys), typed = 0;
                        bool detach = false;
                        Escape e = {};
                        char out[64];

                        for (size_t k = 0; k < n && !detach; k += step)
                                typed += escape_feed(&e, rows[i].keys + k, MIN(step, n - k), out + typed, &detach);
                        ASSERT_EQ(typed, strlen(rows[i].typed));
                        ASSERT_EQ(memcmp(out, rows[i].typed, typed), 0);
                        ASSERT_EQ(detach, rows[i].detach);
                }
}
