/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/parse-util.h"
#include "tests/test.h"

TEST(u64) {
        static const struct {
                const char *text;
                int result;
                uint64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "0x10", -EINVAL, 0 },
                { "1 ", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 7;

                ASSERT_EQ(parse_u64(cases[i].text, &value), cases[i].result);
                ASSERT_EQ(value, cases[i].result < 0 ? 7 : cases[i].value);
        }
}

TEST(u32_range) {
        uint32_t value = 7;

        ASSERT_OK(parse_u32("4294967295", &value));
        ASSERT_EQ(value, UINT32_MAX);
        ASSERT_EQ(parse_u32("4294967296", &value), -ERANGE);
}

TEST(i64) {
        int64_t value;

        ASSERT_OK(parse_i64("-9223372036854775808", &value));
        ASSERT_TRUE(value == INT64_MIN);
        ASSERT_EQ(parse_i64("9223372036854775808", &value), -ERANGE);
        ASSERT_EQ(parse_i64("--1", &value), -EINVAL);
}

TEST(size) {
        static const struct {
                const char *text;
                int result;
                uint64_t value;
        } cases[] = {
                { "1", 0, 1 },           { "4K", 0, 4096 },        { "2g", 0, 2 * GiB },
                { "1T", 0, 1024 * GiB }, { "99999999999T", -ERANGE, 0 }, { "1KB", -EINVAL, 0 },
                { "K", -EINVAL, 0 },     { "1X", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 0;

                ASSERT_EQ(parse_size(cases[i].text, &value), cases[i].result);
                ASSERT_EQ(value, cases[i].value);
        }
}

TEST(boolean_and_double) {
        double number;
        bool flag;

        ASSERT_OK(parse_boolean("Yes", &flag));
        ASSERT_TRUE(flag);
        ASSERT_OK(parse_boolean("off", &flag));
        ASSERT_FALSE(flag);
        ASSERT_EQ(parse_boolean("2", &flag), -EINVAL);
        ASSERT_OK(parse_double("0.5", &number));
        ASSERT_TRUE(number > 0.49 && number < 0.51);
        ASSERT_EQ(parse_double("nan", &number), -EINVAL);
        ASSERT_EQ(parse_double("1e999", &number), -ERANGE);
}
