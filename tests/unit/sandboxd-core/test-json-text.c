/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/json-text.h"

#include <errno.h>
#include <string.h>

#include "tests/test.h"

TEST(escape) {
        static const struct {
                const char *in;
                size_t n;
                bool last;
                const char *out;
                size_t consumed;
        } cases[] = {
                { "plain",            5, true,  "plain",                5 },
                { "a\"b\\",           4, true,  "a\\\"b\\\\",           4 },
                { "\b\t\n\f\r",       5, true,  "\\b\\t\\n\\f\\r",      5 },
                { "\0\x1f\x7f",       3, true,  "\\u0000\\u001f\\u007f", 3 },
                { "\xc3\xa9",         2, true,  "\xc3\xa9",             2 },
                { "\xc2\x85\xc2\x84", 4, true,  "\\u0085\xc2\x84",     4 },
                { "\xe2\x80\xa8x\xe2\x80\xa9", 7, true, "\\u2028x\\u2029", 7 },
                { "\xf0\x9f\x98\x80", 4, true,  "\xf0\x9f\x98\x80",     4 },
                { "\xc3",             1, false, "",                     0 },
                { "x\xf0\x9f\x98",    4, false, "x",                    1 },
                { "\xc3",             1, true,  "\xef\xbf\xbd",         1 },
                { "\xff" "a",         2, false, "\xef\xbf\xbd" "a",     2 },
                { "\xc0\xaf",         2, true,  "\xef\xbf\xbd\xef\xbf\xbd", 2 }, /* overlong */
                { "\xed\xa0\x80",     3, true,  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3 }, /* surrogate */
                { "\xf4\x90\x80\x80", 4, true,  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 4 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char out[64];
                size_t n;

                ASSERT_EQ(json_escape(cases[i].in, cases[i].n, cases[i].last, out, &n), cases[i].consumed);
                out[n] = 0;
                ASSERT_STREQ(out, cases[i].out);
        }
}

TEST(escape_ends) {
        static const char *const cases[][2] = {
                { "",                                    ""                                  },
                { "plain",                               "plain"                             },
                { "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
                { "\xe2\x80\xa8",                        "\\u2028"                           },
                { "a\xe2\x80\xa9" "b\xc2\x85",           "a\\u2029b\\u0085"                 },
                { "\xc2\x85\xc2\x85\xc2\x85\xc2\x84",   "\\u0085\\u0085\\u0085\xc2\x84"   },
                { "\xe2\x80",                            "\xe2\x80"                          },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = json_escape_ends(strdup(cases[i][0]));

                ASSERT_STREQ(text, cases[i][1]);
        }
}

/* Eight bytes at a time must come to the same as one: every byte, at every place, with the worst beside it. */
TEST(escape_wide) {
        static const char beside[] = { 'x', '\0', '\x1f', '\x7f', '"', '\xff' };

        for (size_t b = 0; b < ELEMENTSOF(beside); b++)
                for (unsigned c = 0; c < 256; c++)
                        for (size_t place = 0; place < 17; place++) {
                                char in[17], wide[sizeof in * JSON_ESCAPE_FACTOR], narrow[sizeof wide];
                                size_t n_wide, n_narrow = 0, n;

                                memset(in, 'a', sizeof in);
                                in[place] = (char) c;
                                in[(place + 1) % sizeof in] = beside[b];
                                ASSERT_EQ(json_escape(in, sizeof in, true, wide, &n_wide), sizeof in);
                                if (c >= 0x80) /* a sequence has no meaning byte by byte */
                                        continue;
                                for (size_t i = 0; i < sizeof in; i++, n_narrow += n)
                                        ASSERT_EQ(json_escape(in + i, 1, true, narrow + n_narrow, &n), 1);
                                ASSERT_EQ(n_wide, n_narrow);
                                assert_memory_equal(wide, narrow, n_wide);
                        }
}

TEST(cut) {
        ASSERT_EQ(utf8_cut("abc", 3), 0);
        ASSERT_EQ(utf8_cut("a\xc3", 2), 1);
        ASSERT_EQ(utf8_cut("\xf0\x9f\x98", 3), 3);
        ASSERT_EQ(utf8_cut("\xf0\x9f\x98\x80", 4), 0);
        ASSERT_EQ(utf8_cut("\x80\x80\x80", 3), 0);
        ASSERT_EQ(utf8_cut("", 0), 0);
        ASSERT_EQ(utf8_cut("\xff", 1), 0);
}

TEST(base64) {
        static const struct {
                const char *plain, *encoded;
        } cases[] = {
                { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
                { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "+/+/" },
        };
        static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z g=", "Zg=\n", "====", "=g==", "Zg==Zg==",
                                           "Zm-_", "Zm9v\n" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char out[32];
                ssize_t n;

                out[base64_encode(cases[i].plain, strlen(cases[i].plain), out)] = 0;
                ASSERT_STREQ(out, cases[i].encoded);
                n = base64_decode(cases[i].encoded, strlen(cases[i].encoded), out);
                ASSERT_EQ(n, strlen(cases[i].plain));
                ASSERT_EQ(memcmp(out, cases[i].plain, (size_t) n), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char out[32];

                ASSERT_EQ(base64_decode(bad[i], strlen(bad[i]), out), -EINVAL);
        }
}
