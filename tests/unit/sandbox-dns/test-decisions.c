/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-dns/decisions.h"
#include "tests/test.h"

static int directory(char path[]) {
        int fd;

        ASSERT_NOT_NULL(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_TRUE(fd >= 0);
        return fd;
}

TEST(note) {
        char path[] = "/tmp/test-decisions-XXXXXX";
        _cleanup_close_ int fd = directory(path);
        Decisions *d;

        ASSERT_OK(decisions_open(fd, "x", &d));
        ASSERT_TRUE(decisions_note(d, VERDICT_DENIED, "a.test", 1, 1000));
        ASSERT_FALSE(decisions_note(d, VERDICT_DENIED, "a.test", 1, 2000));
        ASSERT_TRUE(decisions_note(d, VERDICT_DENIED, "a.test", 28, 2000));
        ASSERT_TRUE(decisions_note(d, VERDICT_ALLOWED, "a.test", 1, 2000));
        ASSERT_TRUE(decisions_note(d, VERDICT_DENIED, "a.test", 1, 1000000));
        ASSERT_EQ(d->counts[VERDICT_DENIED], 4);
        ASSERT_EQ(d->counts[VERDICT_ALLOWED], 1);
        decisions_close(d);

        /* As after a kill: the next process finds it. */
        ASSERT_OK(decisions_open(fd, "x", &d));
        ASSERT_EQ(d->counts[VERDICT_DENIED], 4);
        ASSERT_FALSE(decisions_note(d, VERDICT_DENIED, "a.test", 1, 1000001));
        decisions_close(d);
        ASSERT_EQ(unlinkat(fd, "x", 0), 0);
        ASSERT_EQ(rmdir(path), 0);
}

TEST(many_names_are_not_kept) {
        char path[] = "/tmp/test-decisions-XXXXXX", name[16];
        _cleanup_close_ int fd = directory(path);
        Decisions *d;

        ASSERT_OK(decisions_open(fd, "x", &d));
        for (unsigned i = 0; i < 10 * DECISION_ROWS; i++) {
                snprintf(name, sizeof name, "n%u.test", i);
                ASSERT_TRUE(decisions_note(d, VERDICT_DENIED, name, 1, 1000 + i));
        }
        ASSERT_EQ(d->counts[VERDICT_DENIED], 10 * DECISION_ROWS);
        for (unsigned i = 0; i < DECISION_ROWS; i++)
                ASSERT_TRUE(d->rows[i].time_msec >= 1000 + 9 * DECISION_ROWS);
        decisions_close(d);
        ASSERT_EQ(unlinkat(fd, "x", 0), 0);
        ASSERT_EQ(rmdir(path), 0);
}

TEST(a_broken_file_is_begun_anew) {
        char path[] = "/tmp/test-decisions-XXXXXX";
        _cleanup_close_ int fd = directory(path);
        Decisions *d;

        ASSERT_OK(write_file_atomic_at(fd, "x", "rubbish", 0600));
        ASSERT_OK(decisions_open(fd, "x", &d));
        ASSERT_EQ(d->counts[VERDICT_DENIED], 0);
        memset(d->rows, 0xff, sizeof d->rows);
        decisions_close(d);
        ASSERT_OK(decisions_open(fd, "x", &d));
        for (unsigned i = 0; i < DECISION_ROWS; i++)
                ASSERT_EQ(d->rows[i].count, 0);
        decisions_close(d);
        ASSERT_EQ(unlinkat(fd, "x", 0), 0);
        ASSERT_EQ(rmdir(path), 0);
}
