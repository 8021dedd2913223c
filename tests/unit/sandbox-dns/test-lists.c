/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sandbox-dns/lists.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef"

static NameList *make(const char *id, uint32_t address, const char *entry) {
        NameList *l;

        ASSERT_OK(name_list_new(id, address, &l));
        if (entry)
                ASSERT_OK(name_list_add(l, entry));
        return l;
}

TEST(add) {
        _cleanup_(name_list_freep) NameList *l = make(ID, 1, NULL);

        ASSERT_EQ(name_list_add(l, "192.0.2.1"), -EINVAL);
        ASSERT_EQ(name_list_add(l, "a b"), -EINVAL);
        for (unsigned i = 0; i < LIST_ENTRIES_MAX; i++)
                ASSERT_OK(name_list_add(l, "a.test"));
        ASSERT_EQ(name_list_add(l, "a.test"), -E2BIG);
}

TEST(parse) {
        static const char *const bad[] = { "", "x\n", "10.201.0.2\n192.0.2.1\n", "10.201.0.2\na b\n" };
        _cleanup_(name_list_freep) NameList *l = NULL;
        _cleanup_free_ char *text = NULL;

        ASSERT_OK(name_list_parse(ID, "10.201.0.2\nA.test\n*.b.test:443\n", &l));
        ASSERT_OK(name_list_format(l, &text));
        ASSERT_STREQ(text, "10.201.0.2\na.test\n*.b.test:443\n");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                NameList *none = NULL;

                ASSERT_EQ(name_list_parse(ID, bad[i], &none), -EBADMSG);
        }
}

TEST(lines_in_the_log) {
        _cleanup_(name_list_freep) NameList *l = make(ID, 1, NULL);
        unsigned n = 0;

        while (n < 1000 && name_list_may_log(l, USEC_PER_SEC))
                n++;
        ASSERT_TRUE(n >= 10 && n < 100);
        ASSERT_TRUE(name_list_may_log(l, 11 * USEC_PER_SEC));
}

TEST(files) {
        char path[] = "/tmp/test-lists-XXXXXX";
        NameLists lists;
        int fd;

        ASSERT_NOT_NULL(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(name_lists_init(&lists, fd));
        ASSERT_OK(name_lists_put(&lists, make(ID, 2, "a.test")));
        (void) decisions_note(name_lists_get(&lists, ID)->decisions, VERDICT_DENIED, "x.test", 1, 1);
        ASSERT_OK(name_lists_put(&lists, make(ID, 2, "b.test")));
        ASSERT_EQ(name_lists_get(&lists, ID)->decisions->counts[VERDICT_DENIED], 1);
        name_lists_done(&lists);

        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(name_lists_init(&lists, fd));
        ASSERT_STREQ(name_lists_find(&lists, 2)->entries[0].name, "b.test");
        ASSERT_EQ(name_lists_get(&lists, ID)->decisions->counts[VERDICT_DENIED], 1);
        /* Who has the address now is somebody else. */
        ASSERT_OK(name_lists_put(&lists, make(OTHER, 2, "c.test")));
        ASSERT_NULL(name_lists_get(&lists, ID));
        name_lists_remove(&lists, OTHER);
        name_lists_remove(&lists, OTHER);
        ASSERT_NULL(name_lists_find(&lists, 2));
        name_lists_done(&lists);
        ASSERT_EQ(rmdir(path), 0);
}
