/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandboxctl/text.h"
#include "tests/test.h"

TEST(escape) {
        static const struct {
                const char *text, *escaped;
        } cases[] = {
                { "plain äöü 日本", "plain äöü 日本" },
                { "a\nb\tc\rd", "a\\nb\\tc\\x0dd" },
                { "\033]0;title\007", "\\x1b]0;title\\x07" },
                { "\x7f", "\\x7f" },
                { "\xc2\x9b" "31m", "\\x9b31m" },          /* the one-character form of ESC [ */
                { "\xff\xc3", "\\xff\\xc3" },
                { "\xed\xa0\x80", "\\xed\\xa0\\x80" },     /* half of a surrogate pair */
                { "a\xe2\x80\xae" "b", "a\\u{202e}b" },    /* right-to-left override */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *escaped = text_escape(cases[i].text, strlen(cases[i].text));

                ASSERT_STREQ(escaped, cases[i].escaped);
        }
}

TEST(width) {
        ASSERT_EQ(text_width(""), 0);
        ASSERT_EQ(text_width("abc"), 3);
        ASSERT_EQ(text_width("äö"), 2);
        ASSERT_EQ(text_width("日本"), 4);
        ASSERT_EQ(text_width("e\xcc\x81"), 1);
        ASSERT_EQ(text_prefix("日本", 3), 3);
        ASSERT_EQ(text_prefix("abc", 10), 3);
        ASSERT_EQ(text_break("one two three", 8), 7);
        ASSERT_EQ(text_break("one two", 7), 7);
        ASSERT_EQ(text_break("oneword", 3), 3);
}

TEST(sizes) {
        static const struct {
                uint64_t bytes;
                const char *text;
        } cases[] = {
                { 0, "0B" },           { 1023, "1023B" },       { 1024, "1K" },         { 1536, "1.5K" },
                { 10 * KiB + 512, "10K" }, { 20 * MiB, "20M" }, { 3 * GiB / 2, "1.5G" }, { UINT64_MAX, "15E" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[TEXT_SHORT_MAX];

                ASSERT_STREQ(text_size(cases[i].bytes, text), cases[i].text);
        }
}

TEST(durations) {
        static const struct {
                uint64_t msec;
                const char *text;
        } cases[] = {
                { 0, "0ms" },           { 340, "340ms" },        { 12999, "12s" },     { 303000, "5min 3s" },
                { 300000, "5min" },     { 7500000, "2h 5min" },  { 86400000, "1d" },   { 277200000, "3d 5h" },
                { UINT64_MAX, "213503982334d 14h" },
        };
        char text[TEXT_SHORT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_STREQ(text_duration(cases[i].msec, text), cases[i].text);
        ASSERT_STREQ(text_relative(0, 303000, text), "5min 3s ago");
        ASSERT_STREQ(text_relative(303000, 0, text), "in 5min 3s");
        ASSERT_STREQ(text_relative(500, 0, text), "now");
        ASSERT_STREQ(text_time(1700000000000, text), "2023-11-14 22:13:20 UTC");
}

TEST(parse) {
        static const struct {
                int (*parse)(const char *s, uint64_t *ret);
                const char *text;
                int r;
                uint64_t value;
        } cases[] = {
                { parse_seconds, "90", 0, 90 },
                { parse_seconds, "90s", 0, 90 },
                { parse_seconds, "5min", 0, 300 },
                { parse_seconds, "5m", 0, 300 },
                { parse_seconds, "2h", 0, 7200 },
                { parse_seconds, "1d", 0, 86400 },
                { parse_seconds, "h", -EINVAL, 0 },
                { parse_seconds, "-1", -EINVAL, 0 },
                { parse_seconds, "1w", -EINVAL, 0 },
                { parse_seconds, "", -EINVAL, 0 },
                { parse_seconds, "9999999999999999d", -ERANGE, 0 },
                { parse_mebibytes, "512", 0, 512 },
                { parse_mebibytes, "1G", 0, 1024 },
                { parse_mebibytes, "1K", 0, 1 },
                { parse_mebibytes, "many", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 0;

                ASSERT_EQ(cases[i].parse(cases[i].text, &value), cases[i].r);
                if (cases[i].r == 0)
                        ASSERT_EQ(value, cases[i].value);
        }
}

static const char *next(void *userdata) {
        const char *const **p = userdata;

        return **p ? *(*p)++ : NULL;
}

TEST(suggest) {
        static const char *const words[] = { "create", "list", "pause", "resume", "renew", "run", "ps", NULL };
        static const struct {
                const char *word, *near;
        } cases[] = {
                { "craete", "create" }, { "lst", "list" },  { "resum", "resume" }, { "crea", "create" },
                { "rum", "run" },       { "delete", NULL }, { "x", NULL },         { "", NULL },
        };

        ASSERT_EQ(text_distance("kitten", "sitting"), 3);
        ASSERT_EQ(text_distance("", "abc"), 3);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const *p = words;
                const char *near = text_suggest(cases[i].word, next, &p);

                ASSERT_EQ(!near, !cases[i].near);
                if (near)
                        ASSERT_STREQ(near, cases[i].near);
        }
}
