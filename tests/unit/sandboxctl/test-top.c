/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/text.h"
#include "sandboxctl/top.h"
#include "tests/test.h"

#define NOW_MSEC INT64_C(1700000000000)

static json_t *sandbox(const char *id, const char *name, int cpu_usec, int memory, int pids) {
        return json_pack("{s:s, s:s, s:s, s:I, s:I, s:{s:i}, s:{s:f, s:i, s:i, s:I, s:i, s:i, s:i}}", "id", id, "name",
                         name, "status", "running", "createdAt", (json_int_t) (NOW_MSEC - 90 * 1000), "expiresAt",
                         (json_int_t) (NOW_MSEC + 3600 * 1000), "config", "cpu", 1, "metrics", "cpuPercent", 12.5,
                         "cpuUsec", cpu_usec, "memoryUsageBytes", memory, "memoryLimitBytes", (json_int_t) GiB, "pids",
                         pids, "ioReadBytes", 2048, "ioWriteBytes", 0);
}

/* Takes both over; NULL is left out. */
static void update(Top *t, uint64_t now_usec, json_t *a, json_t *b) {
        _cleanup_(json_decrefp) json_t *list = json_pack("{s:[o*, o*]}", "items", a, b);

        ASSERT_OK(top_update(t, list, now_usec));
}

static void expect_line(const Top *t, const TopRow *row, unsigned columns, const char *expected) {
        const TopView view = { .columns = columns, .now_msec = NOW_MSEC };
        _cleanup_free_ char *line = top_line(t, row, &view);

        ASSERT_STREQ(line, expected);
}

TEST(rates_are_our_own) {
        _cleanup_(top_freep) Top *t = NULL;

        ASSERT_OK(top_new(&t));
        update(t, 1000000, sandbox("sbx_1", "one", 1000000, 1 << 20, 1), NULL);
        ASSERT_EQ(t->n, 1);
        ASSERT_TRUE(t->sorted[0]->cpu_percent == 12.5); /* nothing to compare with */
        update(t, 3000000, sandbox("sbx_1", "one", 2000000, 1 << 20, 1), NULL);
        ASSERT_TRUE(t->sorted[0]->cpu_percent == 50);
        /* It was started anew, or the figures come from elsewhere: not billions. */
        update(t, 4000000, sandbox("sbx_1", "one", 5, 1 << 20, 1), NULL);
        ASSERT_TRUE(t->sorted[0]->cpu_percent == 0);
        ASSERT_EQ(t->sorted[0]->n_history, 3);
        for (uint64_t i = 0; i < TOP_HISTORY; i++)
                update(t, 5000000 + i * 1000000, sandbox("sbx_1", "one", 5, 1 << 20, 1), NULL);
        ASSERT_EQ(t->sorted[0]->n_history, TOP_HISTORY);
        ASSERT_TRUE(t->sorted[0]->cpu_history[0] == 0);
}

TEST(sandboxes_come_and_go) {
        _cleanup_(top_freep) Top *t = NULL;

        ASSERT_OK(top_new(&t));
        update(t, 1, sandbox("sbx_1", "one", 0, 1, 1), sandbox("sbx_2", "two", 0, 2, 9));
        ASSERT_EQ(t->n, 2);
        update(t, 2, NULL, sandbox("sbx_2", "renamed", 0, 2, 9));
        ASSERT_EQ(t->n, 1);
        ASSERT_STREQ(t->sorted[0]->name, "renamed");
        update(t, 3, NULL, NULL);
        ASSERT_EQ(t->n, 0);
}

TEST(orders) {
        static const struct {
                const char *name;
                bool reverse;
                const char *first;
        } cases[] = {
                { "memory", false, "sbx_2" }, { "memory", true, "sbx_1" }, { "pids", false, "sbx_1" },
                { "name",   false, "sbx_2" }, { "age",    true, "sbx_1" }, { "left", false, "sbx_1" },
                { "io",     false, "sbx_1" }, { "state", false, "sbx_1" }, { "cpu",  false, "sbx_1" },
        };
        _cleanup_(top_freep) Top *t = NULL;

        ASSERT_OK(top_new(&t));
        update(t, 1, sandbox("sbx_1", "b", 0, 1, 9), sandbox("sbx_2", "a", 0, 2, 1));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                t->reverse = cases[i].reverse;
                ASSERT_OK(top_sort_by_name(t, cases[i].name));
                top_sort(t);
                ASSERT_STREQ(t->sorted[0]->id, cases[i].first);
                ASSERT_NOT_NULL(strstr(top_sort_names(), cases[i].name));
                ASSERT_NOT_NULL(strstr(top_keys, cases[i].name));
                ASSERT_OK(top_sort_by_key(t, *strstr(top_keys, cases[i].name)));
                ASSERT_STREQ(top_column_name(t->sort), cases[i].name);
        }
        ASSERT_EQ(top_sort_by_name(t, "nonsense"), -EINVAL);
        ASSERT_EQ(top_sort_by_key(t, 'x'), -EINVAL);
}

TEST(lines_fit) {
        _cleanup_(top_freep) Top *t = NULL;

        ASSERT_OK(top_new(&t));
        update(t, 1, sandbox("sbx_1", "evil\033[2J\nname", 0, 3 << 20, 9), NULL);
        expect_line(t, NULL, 0, "  CPU%   MEM LIMIT PIDS  READ WRITE  AGE LEFT STATE    NAME");
        expect_line(t, t->sorted[0], 0, "  12.5    3M    1G    9    2K    0B  90s  60m running  evil\\x1b[2J\\nname");
        expect_line(t, t->sorted[0], 30, "  12.5    3M  60m evil\\x1b[2J\\nname");
        expect_line(t, t->sorted[0], 90,
                    "  12.5        .    3M    1G        _    9    2K    0B  90s  60m running  evil\\x1b[2J\\nname");
        for (unsigned columns = 30; columns < 120; columns++) {
                const TopView view = { .columns = columns, .now_msec = NOW_MSEC };
                _cleanup_free_ char *title = top_line(t, NULL, &view);

                ASSERT_TRUE(text_width(title) + 8 <= columns); /* and twelve for the name, of which four are there */
        }
}
