/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "sandboxctl/spark.h"
#include "tests/test.h"

TEST(lines) {
        static const double rising[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 100 }, strange[] = { -5, NAN, INFINITY };
        char text[16 * SPARK_BYTES_MAX + 1];

        ASSERT_STREQ(spark_line(rising, 10, 10, 8, true, text), "▁▂▃▄▅▆▇███");
        ASSERT_STREQ(spark_line(rising, 10, 10, 8, false, text), "_.-~=+*###");
        ASSERT_STREQ(spark_line(rising, 10, 3, 8, false, text), "###");
        ASSERT_STREQ(spark_line(rising, 2, 5, 8, false, text), "   _.");
        ASSERT_STREQ(spark_line(rising, 0, 3, 8, false, text), "   ");
        ASSERT_STREQ(spark_line(rising, 3, 3, 0, false, text), "___");
        ASSERT_STREQ(spark_line(strange, 3, 3, 8, false, text), "__#");
}
