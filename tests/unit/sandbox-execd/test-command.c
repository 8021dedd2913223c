/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/string-util.h"
#include "sandbox-execd/command.h"
#include "tests/test.h"

TEST(id) {
        static const struct {
                const char *id;
                bool valid;
        } cases[] = {
                { "bg_0123456789abcdef01234567",              true  },
                { "a",                                        true  },
                { "",                                         false },
                { "../x",                                     false },
                { "a b",                                      false },
                { "a\n",                                      false },
                { "0123456789012345678901234567890123456789", false },
                { "012345678901234567890123456789012345678",  true  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(command_id_is_valid(cases[i].id), cases[i].valid);
}

TEST(pack) {
        static char *argv[] = { (char *) "sh", (char *) "", (char *) "-c", NULL }, *env[] = { (char *) "A=b", NULL };
        CommandSpec spec = { .argv = argv, .env = env, .cwd = (char *) "/w" };
        _cleanup_free_ char *text = NULL;
        size_t size;

        ASSERT_OK(command_pack_strings(&spec, &text, &size));
        ASSERT_EQ(size, sizeof("/w\0sh\0\0-c\0A=b"));
        ASSERT_EQ(memcmp(text, "/w\0sh\0\0-c\0A=b", size), 0);

        text = mfree(text);
        spec = (CommandSpec) { .argv = argv };
        ASSERT_OK(command_pack_strings(&spec, &text, &size));
        ASSERT_EQ(size, sizeof("\0sh\0\0-c"));
}

TEST(pack_too_many) {
        _cleanup_strv_free_ char **argv = new0(char *, INIT_STRINGS_MAX + 2);
        CommandSpec spec = { .argv = argv };
        char *text;
        size_t size;

        for (size_t i = 0; i <= INIT_STRINGS_MAX; i++)
                argv[i] = strdup("x");
        ASSERT_EQ(command_pack_strings(&spec, &text, &size), -E2BIG);
}
