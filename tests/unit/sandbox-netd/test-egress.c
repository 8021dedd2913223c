/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox-netd/egress.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef"

static EgressList *make(const char *id, uint32_t address, const char *const *prefixes, const uint32_t *marks) {
        EgressList *l;

        ASSERT_OK(egress_list_new(id, address, &l));
        for (; prefixes && *prefixes; prefixes++) {
                unsigned port = 0;
                char text[32];
                Prefix p;

                ASSERT_TRUE(sscanf(*prefixes, "%31[^:]:%u", text, &port) >= 1);
                ASSERT_OK(prefix_parse(text, &p));
                ASSERT_OK(egress_list_add_prefix(l, &p, (uint16_t) port));
        }
        for (; marks && *marks; marks++)
                ASSERT_OK(egress_list_add_mark(l, *marks));
        return l;
}

/* The kernel refuses elements that overlap. */
TEST(normalize) {
        static const char *const prefixes[] = { "10.1.0.0/16", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3:80", "10.0.0.0/8:80",
                                                "10.1.2.3:81", "192.0.2.1", "192.0.2.1", NULL };
        _cleanup_(egress_list_freep) EgressList *l = make(ID, 0x0ac90002, prefixes, NULL);
        _cleanup_free_ char *text = NULL;

        egress_list_normalize(l);
        ASSERT_OK(egress_list_format(l, &text));
        ASSERT_STREQ(text, "address 10.201.0.2\nprefix 10.0.0.0/8 0\nprefix 10.0.0.0/8 80\nprefix 10.1.2.3/32 81\n"
                           "prefix 192.0.2.1/32 0\n");
}

static void change(const EgressList *before, const EgressList *after, char **ret) {
        size_t size;
        FILE *f = open_memstream(ret, &size);

        egress_list_write_change(f, before, after);
        ASSERT_EQ(fclose(f), 0);
}

#define T "element inet sandboxd "

TEST(changes) {
        static const char *const one[] = { "10.0.0.0/8", "192.0.2.1:80", NULL }, *const two[] = { "10.0.0.0/8", NULL };
        static const uint32_t marks[] = { 0x5b000001, 0x5b000002, 0 }, fewer[] = { 0x5b000002, 0 };
        _cleanup_(egress_list_freep) EgressList *before = make(ID, 0x0ac90002, one, marks),
                                                *after = make(ID, 0x0ac90002, two, fewer),
                                                *moved = make(ID, 0x0ac90003, NULL, NULL),
                                                *plain = make(ID, 0x0ac90002, two, NULL);
        _cleanup_free_ char *all = NULL, *same = NULL, *less = NULL, *gone = NULL, *move = NULL, *unnamed = NULL;

        change(NULL, before, &all);
        change(before, before, &same);
        change(before, after, &less);
        change(after, NULL, &gone);
        change(moved, after, &move);
        change(after, plain, &unnamed);
        ASSERT_STREQ(all, "add " T "restricted { 10.201.0.2 }\nadd " T "accepted { 10.201.0.2 }\nadd " T "refused { 10.201.0.2 }\n"
                          "add " T "prefixes { 10.201.0.2 . 10.0.0.0/8 }\n"
                          "add " T "prefix_ports { 10.201.0.2 . 192.0.2.1/32 . 80 }\n"
                          "add " T "current { 10.201.0.2 . 0x5b000001 }\nadd " T "current { 10.201.0.2 . 0x5b000002 }\n"
                          "add " T "named { 10.201.0.2 }\n");
        ASSERT_STREQ(same, "");
        ASSERT_STREQ(less, "delete " T "prefix_ports { 10.201.0.2 . 192.0.2.1/32 . 80 }\n"
                           "delete " T "current { 10.201.0.2 . 0x5b000001 }\n");
        ASSERT_STREQ(unnamed, "delete " T "current { 10.201.0.2 . 0x5b000002 }\ndelete " T "named { 10.201.0.2 }\n");
        ASSERT_NOT_NULL(strstr(gone, "delete " T "restricted { 10.201.0.2 }\n"));
        ASSERT_NULL(strstr(gone, "add "));
        ASSERT_NOT_NULL(strstr(move, "delete " T "restricted { 10.201.0.3 }\n"));
        ASSERT_NOT_NULL(strstr(move, "add " T "restricted { 10.201.0.2 }\n"));
}

TEST(parse) {
        static const char *const bad[] = { "", "prefix 10.0.0.0/8 0\n", "address x\n", "address 10.201.0.2\nprefix 10.0.0.1/8 0\n",
                                           "address 10.201.0.2\nprefix 10.0.0.0/8 65536\n", "address 10.201.0.2\nnonsense\n" };
        static const uint32_t marks[] = { 0x5b000001, 0 };
        static const char *const prefixes[] = { "10.0.0.0/8:443", NULL };
        _cleanup_(egress_list_freep) EgressList *l = make(ID, 0x0ac90002, prefixes, marks), *again = NULL;
        _cleanup_free_ char *text = NULL, *second = NULL;

        ASSERT_OK(egress_list_format(l, &text));
        ASSERT_OK(egress_list_parse(ID, text, &again));
        ASSERT_OK(egress_list_format(again, &second));
        ASSERT_STREQ(text, second);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(egress_list_parse(ID, bad[i], &again), -EBADMSG);
}

TEST(limits) {
        _cleanup_(egress_list_freep) EgressList *l = make(ID, 1, NULL, NULL);

        for (unsigned i = 0; i < EGRESS_PREFIXES_MAX; i++)
                ASSERT_OK(egress_list_add_prefix(l, &(Prefix) { i, 32 }, 0));
        ASSERT_EQ(egress_list_add_prefix(l, &(Prefix) { 9999, 32 }, 0), -E2BIG);
        for (unsigned i = 0; i < EGRESS_MARKS_MAX; i++)
                ASSERT_OK(egress_list_add_mark(l, i));
        ASSERT_OK(egress_list_add_mark(l, 7));
        ASSERT_EQ(egress_list_add_mark(l, 9999), -E2BIG);
}

/* What is put down is there for the next process. */
TEST(files) {
        char path[] = "/tmp/test-egress-XXXXXX";
        EgressLists lists;
        int fd;

        ASSERT_NOT_NULL(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(egress_lists_init(&lists, fd));
        ASSERT_OK(egress_lists_put(&lists, make(ID, 0x0ac90002, NULL, NULL)));
        ASSERT_OK(egress_lists_put(&lists, make(ID, 0x0ac90003, NULL, NULL)));
        ASSERT_OK(egress_lists_put(&lists, make(OTHER, 0x0ac90004, NULL, NULL)));
        egress_lists_done(&lists);

        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(egress_lists_init(&lists, fd));
        ASSERT_EQ(hashmap_size(lists.by_id), 2);
        ASSERT_NULL(egress_lists_find(&lists, 0x0ac90002));
        ASSERT_STREQ(egress_lists_find(&lists, 0x0ac90003)->id, ID);
        egress_lists_remove(&lists, egress_lists_get(&lists, ID));
        egress_lists_remove(&lists, egress_lists_get(&lists, OTHER));
        ASSERT_NULL(egress_lists_get(&lists, ID));
        egress_lists_done(&lists);
        ASSERT_EQ(rmdir(path), 0);
}
