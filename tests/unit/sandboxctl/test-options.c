/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/options.h"
#include "tests/test.h"

static bool flag, quiet;
static const char *text;
static char **list;
static uint64_t number, seconds, interval, mebibytes;
static double real;

static const Option first[] = {
        { 'f', "flag", NULL, OPTION_FLAG, &flag, "A flag" },
        { 't', "text", "TEXT", OPTION_STRING, &text, "A text with a help so long that it must be broken into lines" },
        { 'l', "list", "WORD", OPTION_STRV, &list, "A list" },
        {},
};
static const Option second[] = {
        { 'q', "quiet", NULL, OPTION_FLAG, &quiet, "Say less" },
        { 'n', "number", "N", OPTION_UINT, &number, "A number" },
        { 0, "seconds", "TIME", OPTION_SECONDS, &seconds, "A time" },
        { 'i', "interval", "TIME", OPTION_INTERVAL, &interval, "A time that may be left out" },
        { 0, "a-name-that-is-far-too-long", "MIB", OPTION_MEBIBYTES, &mebibytes, "A size" },
        { 'r', "real", "R", OPTION_NUMBER, &real, "A fraction" },
        {},
};
static const Option *const tables[OPTION_TABLES_MAX] = { first, second };

static int parse(unsigned stop, const char *const *words, char ***ret, char **ret_error) {
        flag = quiet = false;
        text = NULL;
        list = strv_free(list);
        number = 0;
        return options_parse(tables, (char **) words, stop, ret, ret_error);
}

TEST(forms) {
        static const char *const words[] = { "a", "-fq", "--text=x=y", "-n7", "-l", "1", "--list", "2", "--seconds",
                                             "5min", "--a-name-that-is-far-too-long=1G", "-r", "1.5", "-", "--", "-f",
                                             "--", NULL };
        _cleanup_free_ char **rest = NULL, *error = NULL;

        ASSERT_OK(parse(UINT32_MAX, words, &rest, &error));
        ASSERT_TRUE(flag && quiet);
        ASSERT_STREQ(text, "x=y");
        ASSERT_EQ(number, 7);
        ASSERT_EQ(seconds, 300);
        ASSERT_EQ(mebibytes, 1024);
        assert_float_equal(real, 1.5, 0);
        ASSERT_EQ(strv_length(list), 2);
        ASSERT_EQ(strv_length(rest), 4);
        ASSERT_STREQ(rest[0], "a");
        ASSERT_STREQ(rest[1], "-");
        ASSERT_STREQ(rest[2], "-f");
        ASSERT_STREQ(rest[3], "--");
        list = strv_free(list);
}

TEST(stop) {
        static const char *const words[] = { "id", "-f", "ls", "-q", "--", "--text", NULL };
        _cleanup_free_ char **rest = NULL, *error = NULL;

        ASSERT_OK(parse(2, words, &rest, &error));
        ASSERT_TRUE(flag);
        ASSERT_FALSE(quiet);
        ASSERT_EQ(strv_length(rest), 5);
        ASSERT_STREQ(rest[2], "-q");
        ASSERT_STREQ(rest[3], "--");
}

TEST(refuse) {
        static const struct {
                const char *words[3];
                const char *error;
        } cases[] = {
                { { "--txet", "x" }, "unknown option '--txet', did you mean '--text'?" },
                { { "--zzzzzz" }, "unknown option '--zzzzzz'" },
                { { "-z" }, "unknown option '-z'" },
                { { "--flag=1" }, "option '--flag' takes no value" },
                { { "--text" }, "option '--text' needs a value: TEXT" },
                { { "-n" }, "option '-n' needs a value: N" },
                { { "-n", "x" }, "not understood: the value 'x' of option '-n'" },
                { { "-n", "99999999999999999999" }, "out of range: the value '99999999999999999999' of option '-n'" },
                { { "--flagg" }, "unknown option '--flagg', did you mean '--flag'?" },
                { { "--fla" }, "unknown option '--fla', did you mean '--flag'?" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char **rest = NULL, *error = NULL;

                ASSERT_TRUE(parse(UINT32_MAX, cases[i].words, &rest, &error) < 0);
                ASSERT_STREQ(error, cases[i].error);
                ASSERT_NULL(rest);
        }
}

TEST(help_fits) {
        char buffer[4096] = "";
        FILE *f = fmemopen(buffer, sizeof buffer, "w");

        ASSERT_NOT_NULL(f);
        options_help(f, first);
        options_help(f, second);
        ASSERT_EQ(fclose(f), 0);
        ASSERT_NOT_NULL(strstr(buffer, "  -f, --flag              A flag\n"));
        ASSERT_NOT_NULL(strstr(buffer, "broken into\n                          lines\n"));
        ASSERT_NOT_NULL(strstr(buffer, "too-long MIB\n                          A size\n"));
        for (char *line = strtok(buffer, "\n"); line; line = strtok(NULL, "\n"))
                ASSERT_TRUE(strlen(line) <= HELP_COLUMNS);
}

/* Its value is never the next word, which would be an argument of the verb. */
TEST(interval) {
        static const struct {
                const char *word;
                uint64_t expected;       /* 0: refused */
        } cases[] = {
                { "--interval", INTERVAL_DEFAULT_SEC }, { "--interval=5", 5 }, { "--interval=2min", 120 },
                { "-i",         INTERVAL_DEFAULT_SEC }, { "--interval=0", 0 }, { "--interval=", 0 },
                { "--interval=2d", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const words[] = { cases[i].word, "7", NULL };
                _cleanup_free_ char **rest = NULL, *error = NULL;
                int r = parse(UINT32_MAX, words, &rest, &error);

                ASSERT_EQ(r < 0, cases[i].expected == 0);
                if (r < 0)
                        continue;
                ASSERT_EQ(interval, cases[i].expected);
                ASSERT_STREQ(rest[0], "7");
        }
}
