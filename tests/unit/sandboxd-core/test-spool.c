/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "tests/test.h"

static char directory[] = "/tmp/spool-XXXXXX";

static int open_directory(void) {
        static bool made;

        if (!made)
                ASSERT_NOT_NULL(mkdtemp(directory));
        made = true;
        return open(directory, O_DIRECTORY | O_CLOEXEC);
}

__attribute__((destructor)) static void remove_directory(void) {
        (void) rmdir(directory);
}

/* The byte at each position is known, so that every window can be checked. */
static char at(uint64_t position) {
        return (char) (position % 251);
}

static void append(Spool *s, uint64_t n) {
        char buffer[70000];
        uint64_t done = 0;

        while (done < n) {
                size_t k = (size_t) MIN(n - done, (uint64_t) sizeof buffer - done % 977);

                for (size_t i = 0; i < k; i++)
                        buffer[i] = at(spool_total(s) + i);
                ASSERT_OK(spool_append(s, buffer, k));
                done += k;
        }
}

/* Reads all from cursor on; returns where it ended. */
static uint64_t check_from(Spool *s, uint64_t cursor, uint64_t *ret_bytes) {
        char buffer[4099];
        ssize_t n;

        *ret_bytes = 0;
        while ((n = ASSERT_OK((int) spool_read(s, &cursor, buffer, sizeof buffer))) > 0) {
                for (ssize_t i = 0; i < n; i++)
                        ASSERT_EQ(buffer[i], at(cursor - (uint64_t) n + (uint64_t) i));
                *ret_bytes += (uint64_t) n;
        }
        return cursor;
}

TEST(windows) {
        static const struct {
                uint64_t total, from, bytes, dropped;
        } cases[] = {
                { 0,                        0,            0,                 0       },
                { 1,                        0,            1,                 0       },
                { 1,                        5,            0,                 0       },
                { 64 * KiB,                 10,           64 * KiB - 10,     0       },
                { 64 * KiB + 1,             0,            64 * KiB + 1,      0       },
                { 10 * MiB,                 3 * MiB,      7 * MiB,           0       },
                { 10 * MiB + 5,             10 * MiB,     5,                 0       },
                { 11 * MiB,                 0,            11 * MiB,          0       },
                { 11 * MiB + 1,             0,            11 * MiB,          1       },
                { 11 * MiB + 1,             10 * MiB,     1 * MiB,           1       },
                { 13 * MiB + 7,             0,            11 * MiB,          2 * MiB + 7 },
                { 13 * MiB + 7,             11 * MiB,     1 * MiB,           2 * MiB + 7 },
                { 13 * MiB + 7,             13 * MiB,     7,                 2 * MiB + 7 },
        };
        _cleanup_close_ int fd = open_directory();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(spool_unrefp) Spool *s = NULL;
                uint64_t bytes, end;

                ASSERT_OK(spool_new(fd, NULL, &s));
                append(s, cases[i].total);
                ASSERT_EQ(spool_total(s), cases[i].total);
                ASSERT_EQ(spool_dropped(s), cases[i].dropped);
                end = check_from(s, cases[i].from, &bytes);
                ASSERT_EQ(bytes, cases[i].bytes);
                ASSERT_EQ(end, MAX(cases[i].total, cases[i].from));
        }
}

TEST(named_goes_on) {
        static const uint64_t totals[] = { 10, 100000, 12 * MiB };
        _cleanup_close_ int fd = open_directory();

        for (size_t i = 0; i < ELEMENTSOF(totals); i++) {
                uint64_t bytes;

                for (unsigned round = 1; round <= 2; round++) {
                        _cleanup_(spool_unrefp) Spool *s = NULL;

                        ASSERT_OK(spool_new(fd, "x", &s));
                        ASSERT_EQ(spool_total(s), totals[i] * (round - 1));
                        append(s, totals[i]);
                        (void) check_from(s, 0, &bytes);
                        ASSERT_EQ(bytes, spool_stored(s));
                }
                ASSERT_EQ(unlinkat(fd, "x", 0), 0);
        }
}

TEST(strange_file_is_replaced) {
        _cleanup_close_ int fd = open_directory(), file = -EBADF;
        _cleanup_(spool_unrefp) Spool *s = NULL;

        file = openat(fd, "y", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ASSERT_OK(loop_write(file, "this is no spool at all", 23));
        ASSERT_OK(spool_new(fd, "y", &s));
        ASSERT_EQ(spool_total(s), 0);
        append(s, 5);
        ASSERT_EQ(spool_total(s), 5);
        ASSERT_EQ(unlinkat(fd, "y", 0), 0);
}

TEST(no_room) {
        _cleanup_close_ int fd = open("/proc", O_DIRECTORY | O_CLOEXEC); /* nothing can be made there */
        _cleanup_(spool_unrefp) Spool *s = NULL;
        char big[100000] = "begin";
        uint64_t cursor = 0;

        ASSERT_OK(spool_new(fd, NULL, &s));
        ASSERT_OK(spool_append(s, big, 5));
        ASSERT_TRUE(spool_append(s, big, sizeof big) < 0);
        ASSERT_EQ(spool_total(s), 5);
        ASSERT_EQ(spool_dropped(s), sizeof big);
        ASSERT_EQ(spool_read(s, &cursor, big, sizeof big), 5);
}

/* Reads what is written to a pipe, byte by known byte. */
static void fill(Spool *s, uint64_t n) {
        int ends[2];

        ASSERT_OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
        ASSERT_EQ(spool_fill(s, ends[0]), -EAGAIN);
        while (n > 0) {
                char buffer[1021];
                size_t k = (size_t) MIN(n, (uint64_t) sizeof buffer);

                for (size_t i = 0; i < k; i++)
                        buffer[i] = at(spool_total(s) + i) ?: 1;
                ASSERT_EQ(write(ends[1], buffer, k), (ssize_t) k);
                for (size_t left = k; left > 0;) {
                        ssize_t r = spool_fill(s, ends[0]);

                        ASSERT_TRUE(r > 0);
                        left -= (size_t) r;
                }
                n -= k;
        }
        close(ends[0]);
        close(ends[1]);
}

static void check_live(Spool *s, uint64_t cursor) {
        char buffer[4099];
        ssize_t n;

        while ((n = ASSERT_OK((int) spool_read(s, &cursor, buffer, sizeof buffer))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        ASSERT_EQ(buffer[i], at(cursor - (uint64_t) n + (uint64_t) i) ?: 1);
        ASSERT_EQ(cursor, spool_total(s));
}

/* Killed between the read and the count: the header is as it was before. */
TEST(live_is_counted_again) {
        static const uint64_t starts[] = {
                0, 1, 4095, 4096, 5000, SPOOL_HEAD_MAX - 10, SPOOL_HEAD_MAX, SPOOL_HEAD_MAX + SPOOL_TAIL_MAX - 5,
                SPOOL_HEAD_MAX + SPOOL_TAIL_MAX, SPOOL_HEAD_MAX + 2 * SPOOL_TAIL_MAX + 77,
        };
        _cleanup_close_ int dir = open_directory();

        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                _cleanup_(spool_unrefp) Spool *s = NULL, *again = NULL;
                _cleanup_close_ int file = -EBADF;
                uint64_t before, total;
                int ends[2];

                ASSERT_OK(spool_new_live(dir, "live", &s));
                fill(s, starts[i]);
                ASSERT_EQ(spool_total(s), starts[i]);
                check_live(s, starts[i] > SPOOL_HEAD_MAX ? spool_tail_start(s) : 0);

                file = openat(dir, "live", O_RDWR | O_CLOEXEC);
                ASSERT_EQ(pread(file, &before, sizeof before, 8), (ssize_t) sizeof before);
                ASSERT_EQ(before, starts[i]);
                ASSERT_OK(pipe2(ends, O_CLOEXEC));
                ASSERT_EQ(write(ends[1], "lost?", 5), 5);
                ASSERT_TRUE(spool_fill(s, ends[0]) > 0);
                total = spool_total(s);
                ASSERT_EQ(pwrite(file, &before, sizeof before, 8), (ssize_t) sizeof before);
                close(ends[0]);
                close(ends[1]);

                ASSERT_OK(spool_new_live(dir, "live", &again));
                ASSERT_EQ(spool_total(again), total);
                ASSERT_OK(unlinkat(dir, "live", 0));
        }
}

TEST(live_of_a_full_disk_goes_on) {
        _cleanup_close_ int dir = open_directory();
        _cleanup_(spool_unrefp) Spool *s = NULL;

        ASSERT_OK(spool_new_live(dir, "live", &s));
        fill(s, 3000);
        ASSERT_OK(spool_append(s, "by the other way", 16)); /* beyond what is cleared, too */
        ASSERT_EQ(spool_total(s), 3016);
        for (unsigned i = 0; i < 300; i++)
                ASSERT_OK(spool_append(s, "0123456789abcdef0123456789abcdef", 32));
        fill(s, 9000);
        ASSERT_EQ(spool_total(s), 3016 + 9600 + 9000);
        ASSERT_OK(unlinkat(dir, "live", 0));
}
