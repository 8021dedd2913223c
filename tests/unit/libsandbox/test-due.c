/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/due.h"
#include "libsandbox/fd-util.h"
#include "tests/test.h"

#define ID "00112233445566778899aabbccddeeff"

static int count(const DueEntry *entry, void *userdata) {
        (void) entry;
        ++*(int *) userdata;
        return 0;
}

TEST(round_trip) {
        char directory[] = "/tmp/test-due.XXXXXX";
        DueEntry entry = { .id = ID, .deadline_usec = 12345, .cgroup = "/sandbox.slice/x.scope" }, back;
        unsigned bad = 0;
        int fd, n = 0;

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(due_write(fd, &entry));
        ASSERT_OK(due_read(fd, ID, &back));
        ASSERT_EQ(back.deadline_usec, 12345);
        ASSERT_STREQ(back.cgroup, entry.cgroup);

        ASSERT_OK(write_file_atomic_at(fd, "11112233445566778899aabbccddeeff", "1 /a/../b\n", 0600));
        ASSERT_OK(write_file_atomic_at(fd, "not-an-id", "1 /a\n", 0600));
        ASSERT_EQ(due_read(fd, "11112233445566778899aabbccddeeff", &back), -EBADMSG);
        ASSERT_OK(due_foreach(fd, count, &n, &bad));
        ASSERT_EQ(n, 1);
        ASSERT_EQ(bad, 2);

        entry.deadline_usec = USEC_INFINITY;
        ASSERT_OK(due_write(fd, &entry));
        ASSERT_EQ(due_read(fd, ID, &back), -ENOENT);
        ASSERT_OK(due_remove(fd, "11112233445566778899aabbccddeeff"));
        unlinkat(fd, "not-an-id", 0);
        close(fd);
        ASSERT_EQ(rmdir(directory), 0);
}

TEST(the_time_to_wake) {
        char directory[] = "/tmp/test-due.XXXXXX";
        unsigned bad = 0;
        uint64_t usec;
        int fd, n = 0;

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(due_wake_read(fd, &usec));
        ASSERT_EQ(usec, USEC_INFINITY);
        ASSERT_OK(due_wake_write(fd, USEC_INFINITY));
        ASSERT_OK(due_wake_write(fd, 4711));
        ASSERT_OK(due_wake_read(fd, &usec));
        ASSERT_EQ(usec, 4711);

        /* it is no sandbox's deadline, and not a bad one either */
        ASSERT_OK(due_foreach(fd, count, &n, &bad));
        ASSERT_EQ(n, 0);
        ASSERT_EQ(bad, 0);

        ASSERT_OK(write_file_atomic_at(fd, "wake", "soon\n", 0600));
        ASSERT_EQ(due_wake_read(fd, &usec), -EBADMSG);
        ASSERT_OK(due_wake_write(fd, USEC_INFINITY));
        close(fd);
        ASSERT_EQ(rmdir(directory), 0);
}
