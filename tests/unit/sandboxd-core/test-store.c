/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[32], file[64];
} Fixture;

static void fixture_start(Fixture *f) {
        log_set_max_level(LOG_EMERG);
        strcpy(f->directory, "/tmp/store-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        snprintf(f->file, sizeof f->file, "%s/sandboxd.db", f->directory);
}

static unsigned fixture_done_count(Fixture *f, const char *text) {
        DIR *d = opendir(f->directory);
        struct dirent *entry;
        unsigned n = 0;

        while ((entry = readdir(d))) {
                n += strstr(entry->d_name, text) != NULL;
                (void) unlinkat(dirfd(d), entry->d_name, 0);
        }
        closedir(d);
        ASSERT_EQ(rmdir(f->directory), 0);
        return n;
}

static int count(const StoredSandbox *row, void *userdata) {
        (*(unsigned *) userdata)++;
        return streq(row->record, "bad") ? -EBADMSG : 0;
}

static int count_command(const StoredCommand *row, void *userdata) {
        (void) row;
        (*(unsigned *) userdata)++;
        return 0;
}

static unsigned n_sandboxes(Store *s) {
        unsigned n = 0;

        ASSERT_OK(store_foreach_sandbox(s, count, &n));
        return n;
}

static void put(Store *s, const char *id, const char *record) {
        ASSERT_OK(store_put_sandbox(s, &(StoredSandbox) { .id = id, .state = "running", .created_msec = 5,
                                                          .record = record }));
}

TEST(room_to_delete_is_reserved) {
        _cleanup_(store_closep) Store *s = NULL;
        char path[96];
        struct stat st;
        Fixture f;
        bool fresh;

        fixture_start(&f);
        ASSERT_OK(store_open(f.directory, &fresh, &s));
        snprintf(path, sizeof path, "%s/reserve", f.directory);
        ASSERT_EQ(stat(path, &st), 0);
        ASSERT_EQ(st.st_size, 4 * MiB);
        ASSERT_TRUE((uint64_t) st.st_blocks * 512 >= 4 * MiB);

        ASSERT_EQ(unlink(path), 0);
        s = store_close(s);
        ASSERT_OK(store_open(f.directory, &fresh, &s));
        ASSERT_EQ(stat(path, &st), 0);
        s = store_close(s);
        ASSERT_EQ(fixture_done_count(&f, "reserve"), 1);
}

TEST(round_trip) {
        _cleanup_(store_closep) Store *s = NULL;
        uint64_t value;
        struct stat st;
        Fixture f;
        bool fresh;
        unsigned n = 0;

        fixture_start(&f);
        ASSERT_OK(store_open(f.directory, &fresh, &s));
        ASSERT_TRUE(fresh);
        ASSERT_EQ(stat(f.file, &st), 0);
        ASSERT_EQ(st.st_mode & 0777, 0600);
        put(s, "a", "{}");
        put(s, "b", "{}");
        put(s, "a", "{1}"); /* an update keeps the order */
        ASSERT_OK(store_put_command(s, &(StoredCommand) { .id = "c", .sandbox = "a", .record = "{}" }));
        ASSERT_OK(store_add_number(s, "n", 3));
        ASSERT_OK(store_add_number(s, "n", 4));
        s = store_close(s);

        ASSERT_OK(store_open(f.directory, &fresh, &s));
        ASSERT_FALSE(fresh);
        ASSERT_EQ(n_sandboxes(s), 2);
        ASSERT_OK(store_get_number(s, "n", &value));
        ASSERT_EQ(value, 7);
        ASSERT_OK(store_get_number(s, "none", &value));
        ASSERT_EQ(value, 0);
        ASSERT_OK(store_remove_sandbox(s, "a"));
        ASSERT_EQ(n_sandboxes(s), 1);
        ASSERT_OK(store_foreach_command(s, count_command, &n));
        ASSERT_EQ(n, 0);
        store_rest(s);
        s = store_close(s);
        (void) fixture_done_count(&f, "");
}

/* Without store_close(): what a kill -9 leaves behind. */
TEST(survives_a_crash) {
        _cleanup_(store_closep) Store *s = NULL;
        Fixture f;
        bool fresh;
        int status;
        pid_t pid;

        fixture_start(&f);
        pid = fork();
        if (pid == 0) {
                ASSERT_OK(store_open(f.directory, &fresh, &s));
                put(s, "a", "{}");
                _exit(0);
        }
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        ASSERT_OK(store_open(f.directory, &fresh, &s));
        ASSERT_EQ(n_sandboxes(s), 1);
        s = store_close(s);
        (void) fixture_done_count(&f, "");
}

TEST(newer_is_refused) {
        _cleanup_(store_closep) Store *s = NULL;
        sqlite3 *db;
        Fixture f;
        bool fresh;

        fixture_start(&f);
        ASSERT_OK(store_open(f.directory, &fresh, &s));
        s = store_close(s);
        ASSERT_EQ(sqlite3_open(f.file, &db), SQLITE_OK);
        ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        ASSERT_EQ(store_open(f.directory, &fresh, &s), -EPROTONOSUPPORT);
        ASSERT_EQ(fixture_done_count(&f, "broken"), 0);
}

TEST(damaged_is_set_aside) {
        static const struct {
                off_t size, offset;
        } cases[] = { { 100, 0 }, { 5000, 0 }, { 0, 4096 }, { 0, 16 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(store_closep) Store *s = NULL;
                Fixture f;
                bool fresh;
                int fd;

                fixture_start(&f);
                ASSERT_OK(store_open(f.directory, &fresh, &s));
                for (char id[2] = "a"; id[0] <= 'z'; id[0]++)
                        put(s, id, "{\"a record of some length\": \"so that there are pages to break\"}");
                s = store_close(s);
                fd = open(f.file, O_RDWR | O_CLOEXEC);
                if (cases[i].size > 0)
                        ASSERT_EQ(ftruncate(fd, cases[i].size), 0);
                else
                        for (unsigned k = 0; k < 512; k++)
                                ASSERT_EQ(pwrite(fd, "\xa5garbage", 8, cases[i].offset + 8 * k), 8);
                close(fd);

                ASSERT_OK(store_open(f.directory, &fresh, &s));
                ASSERT_TRUE(fresh);
                ASSERT_EQ(n_sandboxes(s), 0);
                put(s, "new", "{}");
                s = store_close(s);
                assert_true(fixture_done_count(&f, "broken") >= 1);
        }
}

TEST(bad_row_is_set_aside) {
        _cleanup_(store_closep) Store *s = NULL;
        Fixture f;
        bool fresh;

        fixture_start(&f);
        ASSERT_OK(store_open(f.directory, &fresh, &s));
        put(s, "a", "{}");
        put(s, "b", "bad");
        put(s, "c", "{}");
        ASSERT_EQ(n_sandboxes(s), 3);
        ASSERT_EQ(n_sandboxes(s), 2);
        s = store_close(s);
        (void) fixture_done_count(&f, "");
}
