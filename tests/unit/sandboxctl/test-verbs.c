/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "sandboxctl/verbs.h"
#include "tests/test.h"

static int handler(Ctl *c, char **words) {
        (void) c;
        (void) words;
        return 0;
}

static const Verb verbs[] = {
        { "First", "create", "IMAGE", 1, 1, WORDS_ANY, NULL, handler, 0, "Make one" },
        { "First", "list", "", 0, 0, WORDS_ANY, NULL, handler, 0, "Show all" },
        { "Second", "something-long", "AND ITS MANY ARGUMENTS...", 0, 0, WORDS_ANY, NULL, handler, 0,
          "A help that is so long that it takes more than the one line that others take" },
        {},
};

TEST(find_and_suggest) {
        ASSERT_STREQ(verb_find(verbs, "list")->name, "list");
        ASSERT_NULL(verb_find(verbs, "lis"));
        ASSERT_NULL(verb_find(verbs, ""));
        ASSERT_STREQ(verb_suggest(verbs, "creaet"), "create");
        ASSERT_NULL(verb_suggest(verbs, "remove"));
}

TEST(help) {
        char buffer[4096] = "";
        FILE *f = fmemopen(buffer, sizeof buffer, "w");

        ASSERT_NOT_NULL(f);
        verbs_help(f, verbs);
        ASSERT_EQ(fclose(f), 0);
        ASSERT_STREQ(buffer, "\nFirst:\n"
                             "  create IMAGE            Make one\n"
                             "  list                    Show all\n"
                             "\nSecond:\n"
                             "  something-long AND ITS MANY ARGUMENTS...\n"
                             "                          A help that is so long that it takes more than the one\n"
                             "                          line that others take\n");
}
