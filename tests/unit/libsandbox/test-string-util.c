/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/string-util.h"
#include "tests/test.h"

TEST(utf8) {
        static const struct {
                const char *text;
                bool valid;
                const char *sanitized;
        } cases[] = {
                { "plain", true, "plain" },
                { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
                { "a\xff" "b", false, "a\xef\xbf\xbd" "b" },
                { "\xc0\x80", false, "\xef\xbf\xbd\xef\xbf\xbd" },     /* overlong NUL */
                { "\xed\xa0\x80", false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
                { "\xe2\x82", false, "\xef\xbf\xbd\xef\xbf\xbd" },     /* cut */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *s = utf8_sanitize(cases[i].text, strlen(cases[i].text));

                ASSERT_EQ(utf8_is_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
                ASSERT_STREQ(s, cases[i].sanitized);
        }
}

TEST(env) {
        _cleanup_strv_free_ char **env = NULL;

        ASSERT_OK(strv_env_set(&env, "A", "1"));
        ASSERT_OK(strv_env_set(&env, "AB", "2"));
        ASSERT_OK(strv_env_set(&env, "A", "3"));
        ASSERT_EQ(strv_length(env), 2);
        ASSERT_STREQ(strv_env_get(env, "A"), "3");
        ASSERT_EQ(strv_env_unset(env, "A"), 1);
        ASSERT_EQ(strv_env_unset(env, "A"), 0);
        ASSERT_NULL(strv_env_get(env, "A"));
        ASSERT_STREQ(strv_env_get(env, "AB"), "2");
}

TEST(env_names) {
        ASSERT_TRUE(env_name_is_valid("_a1"));
        ASSERT_FALSE(env_name_is_valid(""));
        ASSERT_FALSE(env_name_is_valid("1A"));
        ASSERT_FALSE(env_name_is_valid("A=B"));
        ASSERT_FALSE(env_name_is_valid("A-B"));
}

TEST(path_prefixes) {
        static const char *const cases[][2] = {
                { "sandbox", "/sandbox" }, { "/a/b", "/a/b" }, { "//a/b//", "/a/b" }, { "", "" }, { "/", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *prefix = path_prefix(cases[i][0]);

                ASSERT_STREQ(prefix, cases[i][1]);
        }
}

TEST(strip_and_affixes) {
        char text[] = " \t a b \r\n";

        ASSERT_STREQ(strstrip(text), "a b");
        ASSERT_TRUE(endswith("x.scope", ".scope"));
        ASSERT_FALSE(endswith("scope", "x.scope"));
        ASSERT_STREQ(startswith("sbx_12", "sbx_"), "12");
        ASSERT_NULL(startswith("sbx", "sbx_"));
}
