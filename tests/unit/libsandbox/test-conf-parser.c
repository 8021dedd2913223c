/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/conf-parser.h"
#include "tests/test.h"

static int collect(const ConfLine *line, void *userdata) {
        char *out = userdata;

        if (strcmp(line->key, "bad") == 0)
                return -EINVAL;
        sprintf(out + strlen(out), "%u:%s%u:%s=%s;", line->line, line->section ? line->section : "-",
                line->section_number, line->key, line->value);
        return 0;
}

TEST(text) {
        char text[] = "# c\nA=1\n\n[S]\n B = \"x y\" \n; c\n[S]\nC=\nno assignment\n=x\nbad=1\nD=a=b";
        char out[512] = "";

        ASSERT_EQ(conf_parse_text("f", text, collect, out), 3); /* lines that were passed over */
        ASSERT_STREQ(out, "2:-0:A=1;5:S1:B=x y;8:S2:C=;12:S2:D=a=b;");
}

TEST(nothing_to_complain_of) {
        char text[] = "A=1\n[S]\n";
        char out[64] = "";

        ASSERT_EQ(conf_parse_text("f", text, collect, out), 0);
}

TEST(missing) {
        static const char *const none[] = { "/nonexistent/a", "/nonexistent/b", NULL };

        ASSERT_EQ(conf_parse_file("/nonexistent/x", collect, NULL), -ENOENT);
        ASSERT_OK(conf_parse_directories(none, collect, NULL));
}
