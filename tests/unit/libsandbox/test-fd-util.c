/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "tests/test.h"

TEST(descriptors_travel) {
        struct iovec iov = { (char *) "x", 1 };
        int pair[2], pipes[2], got[4];
        size_t n = ELEMENTSOF(got);
        char c;

        ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
        ASSERT_OK(send_with_fds(pair[0], &iov, 1, pipes, 2, 0));
        ASSERT_EQ(receive_with_fds(pair[1], &c, 1, got, &n, 0), 1);
        ASSERT_EQ(n, 2);
        ASSERT_TRUE(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
        ASSERT_OK(loop_write(got[1], "hello", 5));
        close_many(got, 2);

        /* more than the receiver has room for: all are closed, the message is refused */
        n = 1;
        ASSERT_OK(send_with_fds(pair[0], &iov, 1, pipes, 2, 0));
        ASSERT_EQ(receive_with_fds(pair[1], &c, 1, got, &n, 0), -EMSGSIZE);
        close_many(pipes, 2);
        close_many(pair, 2);
}

TEST(limits) {
        char *text = NULL;

        ASSERT_EQ(read_text_at(AT_FDCWD, "/proc/self/maps", 10, &text), -E2BIG);
        ASSERT_NULL(text);
        ASSERT_EQ(read_text_at(AT_FDCWD, "/nonexistent", 10, &text), -ENOENT);
        ASSERT_EQ(send_with_fds(0, NULL, 0, NULL, MESSAGE_FDS_MAX + 1, 0), -EMSGSIZE);
}
