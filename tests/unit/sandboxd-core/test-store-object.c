/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "tests/test.h"

static char directory[] = "/tmp/test-store-XXXXXX";

/* One store for all tests, which run in this order. */
TEST(there_is_a_directory) {
        ASSERT_NOT_NULL(mkdtemp(directory));
}

static Store *open_store(void) {
        Store *s = NULL;
        bool fresh;

        ASSERT_OK(store_open(directory, &fresh, &s));
        return s;
}

static void remove_store(void) {
        static const char *const names[] = { "sandboxd.db", "sandboxd.db-wal", "sandboxd.db-shm", "reserve" };
        char path[128];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                snprintf(path, sizeof path, "%s/%s", directory, names[i]);
                (void) unlink(path);
        }
}

static void put(Store *s, const char *kind, unsigned i, const char *sandbox, const char *tag) {
        char id[32];

        snprintf(id, sizeof id, "%s_%u", kind, i);
        ASSERT_OK(store_put_object(s, &(StoredObject) { .kind = kind, .id = id, .sandbox = sandbox, .tag = tag,
                                                        .time_msec = 1000 + i, .record = "{}" }));
}

static uint64_t count(Store *s, const char *kind, const char *sandbox, const char *tag) {
        uint64_t n;

        ASSERT_OK(store_count_objects(s, kind, sandbox, tag, &n));
        return n;
}

typedef struct Seen {
        char ids[512];
        uint64_t last;
        int answer;
} Seen;

static int on_row(const StoredObject *row, void *userdata) {
        Seen *seen = userdata;

        strcat(strcat(seen->ids, row->id), " ");
        seen->last = row->number;
        return seen->answer;
}

static Seen list(Store *s, ObjectQuery query) {
        Seen seen = {};

        ASSERT_OK(store_foreach_object(s, &query, on_row, &seen));
        return seen;
}

TEST(objects_are_found_by_each_condition) {
        _cleanup_(store_closep) Store *s = open_store();
        uint64_t second;

        put(s, "evt", 1, "a", "x");
        put(s, "evt", 2, "b", "x");
        put(s, "evt", 3, "a", "y");
        put(s, "job", 4, "a", "x");

        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt" }).ids, "evt_1 evt_2 evt_3 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .newest_first = true, .limit = 2 }).ids, "evt_3 evt_2 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .offset = 1, .limit = 1 }).ids, "evt_2 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .sandbox = "a" }).ids, "evt_1 evt_3 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .tag = "x" }).ids, "evt_1 evt_2 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .sandbox = "a", .tag = "y" }).ids, "evt_3 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .id = "job_4" }).ids, "");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "job", .id = "job_4" }).ids, "job_4 ");
        second = list(s, (ObjectQuery) { .kind = "evt", .id = "evt_2" }).last;
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .after = second }).ids, "evt_3 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .before = second }).ids, "evt_1 ");
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt", .since_msec = 1002, .until_msec = 1003 }).ids, "evt_2 ");
}

TEST(totals_follow_every_change) {
        _cleanup_(store_closep) Store *s = open_store();

        ASSERT_EQ(count(s, "evt", NULL, NULL), 3U);
        ASSERT_EQ(count(s, "evt", "a", NULL), 2U);
        ASSERT_EQ(count(s, "evt", NULL, "x"), 2U);
        ASSERT_EQ(count(s, "evt", "a", "y"), 1U);
        ASSERT_EQ(count(s, "evt", "", NULL), 0U);

        put(s, "evt", 3, "a", "x"); /* a change of the tag */
        ASSERT_EQ(count(s, "evt", NULL, NULL), 3U);
        ASSERT_EQ(count(s, "evt", "a", "y"), 0U);
        ASSERT_EQ(count(s, "evt", "a", "x"), 2U);
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "evt" }).ids, "evt_1 evt_2 evt_3 ");

        ASSERT_OK(store_remove_object(s, "evt", "job_4"));
        ASSERT_OK(store_remove_object(s, "evt", "evt_1"));
        ASSERT_EQ(count(s, "evt", NULL, NULL), 2U);
        ASSERT_EQ(count(s, "job", NULL, NULL), 1U);
        ASSERT_OK(store_remove_objects_of(s, "evt", "a"));
        ASSERT_EQ(count(s, "evt", NULL, NULL), 1U);
        ASSERT_EQ(count(s, "evt", "a", NULL), 0U);
}

TEST(the_oldest_are_trimmed) {
        _cleanup_(store_closep) Store *s = open_store();

        ASSERT_OK(store_begin(s));
        for (unsigned i = 100; i < 1500; i++)
                put(s, "old", i, "", "");
        ASSERT_OK(store_end(s));
        ASSERT_EQ(store_trim_objects(s, "old", 10), 1000);
        ASSERT_EQ(store_trim_objects(s, "old", 10), 390);
        ASSERT_EQ(store_trim_objects(s, "old", 10), 0);
        ASSERT_EQ(count(s, "old", NULL, NULL), 10U);
        ASSERT_STREQ(list(s, (ObjectQuery) { .kind = "old", .limit = 1 }).ids, "old_1490 ");
}

TEST(a_bad_row_is_skipped_and_a_failure_ends_the_walk) {
        _cleanup_(store_closep) Store *s = open_store();
        Seen bad = { .answer = -EBADMSG }, failed = { .answer = -ENOMEM };

        ASSERT_OK(store_foreach_object(s, &(ObjectQuery) { .kind = "old", .limit = 3 }, on_row, &bad));
        ASSERT_STREQ(bad.ids, "old_1490 old_1491 old_1492 ");
        ASSERT_EQ(store_foreach_object(s, &(ObjectQuery) { .kind = "old", .limit = 3 }, on_row, &failed), -ENOMEM);
        ASSERT_STREQ(failed.ids, "old_1490 ");
}

static void run_sql(const char *sql) {
        char path[128];
        sqlite3 *db;

        snprintf(path, sizeof path, "%s/sandboxd.db", directory);
        ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
        ASSERT_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        ASSERT_EQ(sqlite3_close(db), SQLITE_OK);
}

static int on_sandbox(const StoredSandbox *row, void *userdata) {
        ASSERT_STREQ(row->record, "{\"kept\":1}");
        (*(unsigned *) userdata)++;
        return 0;
}

TEST(a_file_of_the_first_version_is_upgraded) {
        Store *s = open_store();
        unsigned n = 0;

        ASSERT_OK(store_put_sandbox(s, &(StoredSandbox) { .id = "0123", .state = "running",
                                                          .record = "{\"kept\":1}" }));
        store_close(s);
        run_sql("DROP TABLE objects; DROP TABLE tallies; PRAGMA user_version = 1");
        s = open_store();
        ASSERT_OK(store_foreach_sandbox(s, on_sandbox, &n));
        ASSERT_EQ(n, 1U);
        put(s, "evt", 1, "a", "x");
        ASSERT_EQ(count(s, "evt", NULL, NULL), 1U);
        store_close(s);
}

TEST(a_newer_file_is_refused) {
        Store *s;
        bool fresh;

        run_sql("PRAGMA user_version = 1000");
        ASSERT_EQ(store_open(directory, &fresh, &s), -EPROTONOSUPPORT);
}

TEST(the_store_is_removed) {
        remove_store();
        ASSERT_EQ(rmdir(directory), 0);
}
