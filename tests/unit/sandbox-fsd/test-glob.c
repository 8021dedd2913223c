/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "libsandbox/time-util.h"
#include "sandbox-fsd/glob.h"
#include "tests/test.h"

TEST(match) {
        static const struct {
                const char *pattern, *name;
                bool expect;
        } cases[] = {
                { "a.txt",     "a.txt",            true  },
                { "a.txt",     "a.txt.",           false },
                { "*",         "",                 true  },
                { "*",         ".hidden",          true  },
                { "*.c",       "a.c",              true  },
                { "*.c",       "a.cc",             false },
                { "a*b*c",     "a--b--b-c",        true  },
                { "a*b*c",     "a--b--b-",         false },
                { "?",         "",                 false },
                { "?",         "a",                true  },
                { "?",         "\xc3\xa9",         true  }, /* one character of two bytes */
                { "?",         "\xff",             true  }, /* one byte that is none */
                { "??",        "\xc3\xa9",         false },
                { "[abc]x",    "bx",               true  },
                { "[a-c]x",    "bx",               true  },
                { "[!a-c]x",   "bx",               false },
                { "[^a-c]x",   "dx",               true  },
                { "[]]",       "]",                true  },
                { "[a-]",      "-",                true  },
                { "[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true },
                { "[",         "[",                true  },
                { "[abc",      "[abc",             true  },
                { "[abc",      "a",                false },
                { "[]",        "[]",               true  },
                { "((a+)+)+$", "aaaa",             false },
                { "**/**/**",  "a",                false },
                { "***",       "abc",              true  },
                { "",          "",                 true  },
                { "",          "a",                false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (glob_match(cases[i].pattern, cases[i].name) != cases[i].expect)
                        fail_msg("'%s' against '%s': not %d", cases[i].pattern, cases[i].name, cases[i].expect);
}

TEST(valid) {
        char pattern[GLOB_PATTERN_MAX + 2];

        ASSERT_TRUE(glob_is_valid("*.py"));
        ASSERT_FALSE(glob_is_valid(""));
        ASSERT_FALSE(glob_is_valid("a;b"));
        ASSERT_FALSE(glob_is_valid("$(x)"));
        ASSERT_FALSE(glob_is_valid("a\\*"));
        memset(pattern, '*', sizeof pattern);
        pattern[GLOB_PATTERN_MAX] = 0;
        ASSERT_TRUE(glob_is_valid(pattern));
        pattern[GLOB_PATTERN_MAX] = '*';
        pattern[GLOB_PATTERN_MAX + 1] = 0;
        ASSERT_FALSE(glob_is_valid(pattern));
}

/* What takes other matchers 2^100 steps. */
TEST(bounded_time) {
        char pattern[GLOB_PATTERN_MAX + 1], name[256];
        uint64_t start = now_usec(CLOCK_MONOTONIC);

        for (size_t i = 0; i < GLOB_PATTERN_MAX; i++)
                pattern[i] = i % 2 == 0 ? '*' : 'a';
        pattern[GLOB_PATTERN_MAX - 1] = 'b';
        pattern[GLOB_PATTERN_MAX] = 0;
        memset(name, 'a', sizeof name - 1);
        name[sizeof name - 1] = 0;
        ASSERT_FALSE(glob_match(pattern, name));
        ASSERT_TRUE(now_usec(CLOCK_MONOTONIC) - start < USEC_PER_SEC);
}
