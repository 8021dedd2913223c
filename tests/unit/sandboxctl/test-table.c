/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "sandboxctl/table.h"
#include "tests/test.h"

static const Column columns[] = { { "ID" }, { "SIZE", true }, { "NAME" }, {} };

static void print(const Table *t, unsigned width, const char *expected) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        ASSERT_NOT_NULL(f);
        table_print(t, f, width);
        ASSERT_EQ(fclose(f), 0);
        ASSERT_STREQ(text, expected);
        free(text);
}

TEST(layout) {
        _cleanup_(table_freep) Table *t = table_new(columns);

        ASSERT_NOT_NULL(t);
        print(t, 0, "ID  SIZE  NAME\n");
        ASSERT_OK(table_add(t, "a"));
        ASSERT_OK(table_addf(t, "%d", 5));
        ASSERT_OK(table_add(t, "first"));
        ASSERT_OK(table_add(t, "longer"));
        ASSERT_OK(table_add(t, ""));
        ASSERT_OK(table_add(t, "second one"));
        print(t, 0, "ID      SIZE  NAME\n"
                    "a          5  first\n"
                    "longer     -  second one\n");
        print(t, 20, "ID      SIZE  NAME\n"
                     "a          5  first\n"
                     "longer     -  second\n");
        /* Too narrow for the last column: better whole than gone. */
        print(t, 5, "ID      SIZE  NAME\n"
                    "a          5  first\n"
                    "longer     -  second one\n");
}

TEST(wide_and_unsafe_characters) {
        _cleanup_(table_freep) Table *t = table_new(columns);

        ASSERT_NOT_NULL(t);
        ASSERT_OK(table_add(t, "日本"));
        ASSERT_OK(table_add(t, "1"));
        ASSERT_OK(table_add(t, "x\033[31m\n"));
        ASSERT_OK(table_add(t, "e\xcc\x81"));
        ASSERT_OK(table_add(t, "2"));
        ASSERT_OK(table_add(t, "\xff"));
        print(t, 0, "ID    SIZE  NAME\n"
                    "日本     1  x\\x1b[31m\\n\n"
                    "e\xcc\x81        2  \\xff\n");
}
