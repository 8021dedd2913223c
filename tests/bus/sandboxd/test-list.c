/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Filters and pages of the list, and what it costs when there are many. */

static void make(Core *c, const char *name, const char *metadata) {
        _cleanup_free_ char *body = NULL;

        ASSERT_TRUE(asprintf(&body, "{\"image\":\"test\",\"name\":\"%s\",\"metadata\":{%s}}", name, metadata) > 0);
        REQUEST(c, "POST", "/sandbox/sandboxes", body, r);
        ASSERT_EQ(r.status, 200);
}

static void make_some(Core *c) {
        core_start(c);
        make(c, "a", "\"team\":\"x\",\"stage\":\"1\"");
        make(c, "b", "\"team\":\"x\",\"stage\":\"2\"");
        make(c, "c", "\"team\":\"y\",\"stage\":\"1\"");
        make(c, "d", "");
}

/* The names in the list, one letter each. */
static void names_of(const Reply *r, char ret[16]) {
        json_t *item;
        size_t i;

        json_array_foreach(json_object_get(r->json, "items"), i, item)
                ret[i] = *json_string_value(json_object_get(item, "name"));
        ret[json_array_size(json_object_get(r->json, "items"))] = 0;
}

TEST(filters) {
        static const struct {
                const char *query, *body, *names;
                unsigned total;
        } cases[] = {
                { "",                                       NULL, "abcd", 4 },
                { "?status=running",                        NULL, "abcd", 4 },
                { "?status=paused",                         NULL, "",     0 },
                { "?metadata[team]=x",                      NULL, "ab",   2 },
                { "?metadata%5Bteam%5D=x&metadata%5Bstage%5D=1", NULL, "a", 1 },
                { "?metadata=%7B%22stage%22%3A%221%22%7D",  NULL, "ac",   2 },
                { "?metadata[team]=",                       NULL, "",     0 },
                { "",             "{\"metadata\":{\"team\":\"y\"}}", "c", 1 },
                { "",             "{\"metadata\":null,\"pageSize\":2,\"page\":2}", "cd", 4 },
                { "?labels=team",                           NULL, "abc",  3 },
                { "?labels=team%3Dx,stage=2",               NULL, "b",    1 },
                { "?labels=team=xx",                        NULL, "",     0 },
                { "?labels=tea",                            NULL, "",     0 },
                { "?labels=,",                              NULL, "abcd", 4 },
                { "?page=2&pageSize=3",                     NULL, "d",    4 },
                { "?page=0&pageSize=1",                     NULL, "a",    4 },
                { "?page=9&pageSize=3",                     NULL, "",     4 },
                { "?pageSize=0",                            NULL, "a",    4 },
        };
        _cleanup_(core_stop) Core c = {};

        make_some(&c);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char path[160], names[16];

                snprintf(path, sizeof path, "/sandbox/sandboxes%s", cases[i].query);
                REQUEST(&c, "GET", path, cases[i].body, r);
                ASSERT_EQ(r.status, 200);
                names_of(&r, names);
                ASSERT_STREQ(names, cases[i].names);
                ASSERT_EQ(reply_integer(&r, "total"), cases[i].total);
        }
}

static bool next_page(Core *c, char cursor[80], char names[16], const char *more) {
        char path[160];
        const char *next;

        snprintf(path, sizeof path, "/sandbox/sandboxes?pageSize=2&cursor=%s%s", cursor, more);
        REQUEST(c, "GET", path, NULL, r);
        ASSERT_EQ(r.status, 200);
        names_of(&r, names);
        next = json_string_value(json_object_get(r.json, "nextCursor"));
        snprintf(cursor, 80, "%s", next ?: "");
        return next;
}

TEST(cursor) {
        _cleanup_(core_stop) Core c = {};
        char cursor[80] = "", names[16], path[80];

        make_some(&c);
        ASSERT_TRUE(next_page(&c, cursor, names, ""));
        ASSERT_STREQ(names, "ab");
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        ASSERT_FALSE(next_page(&c, cursor, names, ""));
        ASSERT_STREQ(names, "cd");

        /* the one where the page ended is gone: nothing is left out */
        cursor[0] = 0;
        ASSERT_TRUE(next_page(&c, cursor, names, "&metrics=1"));
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s", strchr(cursor, '.') + 1);
        {
                REQUEST(&c, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        (void) next_page(&c, cursor, names, "");
        ASSERT_NOT_NULL(strchr(names, 'c'));

        REQUEST(&c, "GET", "/sandbox/sandboxes?cursor=nonsense", NULL, r);
        ASSERT_EQ(r.status, 400);
}

static uint64_t shortest(Core *c, const char *path) {
        uint64_t best = UINT64_MAX;

        for (unsigned i = 0; i < 30; i++) {
                uint64_t begin = now_usec(CLOCK_PROCESS_CPUTIME_ID);
                REQUEST(c, "GET", path, NULL, r);

                ASSERT_EQ(r.status, 200);
                best = MIN(best, now_usec(CLOCK_PROCESS_CPUTIME_ID) - begin);
        }
        return best;
}

TEST(many) {
        static const struct {
                const char *few, *many; /* as many in the reply, or none */
        } paths[] = {
                { "/sandbox/sandboxes",             "/sandbox/sandboxes" },
                { "/sandbox/sandboxes?pageSize=10", "/sandbox/sandboxes?pageSize=10" },
                { "/sandbox/sandboxes?pageSize=10", "/sandbox/sandboxes?pageSize=10&page=50" },
                { "/sandbox/sandboxes?metadata[n]=7", "/sandbox/sandboxes?metadata[n]=7" },
                { "/sandbox/sandboxes?labels=n=7&status=running", "/sandbox/sandboxes?labels=n=7&status=running" },
        };
        _cleanup_(core_stop) Core c = { .max_sandboxes = 1000 };
        uint64_t few[ELEMENTSOF(paths)];
        char metadata[32];

        core_start(&c);
        for (unsigned n = 0; n < 1000; n++) {
                if (n == 10)
                        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                                few[i] = shortest(&c, paths[i].few);
                snprintf(metadata, sizeof metadata, "\"n\":\"%u\"", n);
                make(&c, "many", metadata);
        }
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                uint64_t many = shortest(&c, paths[i].few);

                print_message("%-60s %5llu us at 10, %5llu us at 1000\n", paths[i].many, (unsigned long long) few[i],
                              (unsigned long long) many);
                ASSERT_TRUE(many <= 5 * few[i]);
        }
}
