/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/progress.h"
#include "sandboxctl/text.h"
#include "tests/test.h"

TEST(format) {
        static const struct {
                Progress progress;
                int64_t now;
                const char *line;
        } cases[] = {
                { { .name = "file", .size = 1024, .done = 512, .begun_msec = 0 }, 1000,
                  "file  [##########          ]  50%  512B/1K  512B/s" },
                { { .name = "file", .size = UINT64_MAX, .done = 4096, .begun_msec = 1000 }, 3000, "file  4K  2K/s" },
                { { .name = "grown", .size = 10, .done = 20, .begun_msec = 0 }, 1000,
                  "grown  [####################] 100%  20B/10B  20B/s" },
                { { .name = "x\033[2J", .size = 0, .done = 0, .begun_msec = 5 }, 5,
                  "x\\x1b[2J  [                    ]   0%  0B/0B  0B/s" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *line = progress_format(&cases[i].progress, cases[i].now);

                ASSERT_STREQ(line, cases[i].line);
        }
}

TEST(fits) {
        Progress p = { .name = "a-name-that-is-much-longer-than-anybody-would-want-to-read-in-a-line",
                       .size = UINT64_MAX - 1, .done = UINT64_MAX / 2 };
        _cleanup_free_ char *line = progress_format(&p, 1);

        ASSERT_TRUE(text_width(line) < 80);
}
