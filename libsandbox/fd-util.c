/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/fd-util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Small wrappers that take the loops and the special cases out of everybody's code: short counts, EINTR, descriptors
 * that come along with a message, files that must be seen whole or not at all. */

/* errno survives, so that it can stand in a cleanup between a failed call and its report. */
int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

void close_many(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                fds[i] = safe_close(fds[i]);
}

int fd_set_nonblock(int fd, bool nonblock) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        flags = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

/* Fewer than n only at the end of the file. */
ssize_t loop_read(int fd, void *buffer, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t k = read(fd, (char *) buffer + done, n - done);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (k == 0)
                        break;
                done += (size_t) k;
        }
        return (ssize_t) done;
}

int loop_write(int fd, const void *buffer, size_t n) {
        const char *p = buffer;

        while (n > 0) {
                ssize_t k = write(fd, p, n);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                p += k;
                n -= (size_t) k;
        }
        return 0;
}

int directory_from_fd(int fd, DIR **ret) {
        DIR *d;

        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d) {
                int r = -errno;

                safe_close(fd);
                return r;
        }
        *ret = d;
        return 0;
}

int directory_open_at(int dir_fd, const char *name, DIR **ret) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : directory_from_fd(fd, ret);
}

/* One byte more than allowed is tried, so that a longer file is an error and never a cut one. Files of /proc and /sys
 * have no size to ask for. */
int read_text_at(int dir_fd, const char *path, size_t max, char **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        assert(path);
        assert(ret);

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        text = malloc(max + 1);
        if (!text)
                return -ENOMEM;

        n = loop_read(fd, text, max + 1);
        if (n < 0)
                return (int) n;
        if ((size_t) n > max)
                return -E2BIG;

        if (n > 0 && text[n - 1] == '\n')
                n--;
        text[n] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

/* In one write, which is what attributes of cgroups and the like want; half of one would be another value. */
int write_text_at(int dir_fd, const char *path, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        size_t n = strlen(text);
        ssize_t k;

        fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        k = write(fd, text, n);
        if (k < 0)
                return -errno;
        return (size_t) k == n ? 0 : -EIO;
}

int write_file_atomic_at(int dir_fd, const char *name, const char *text, mode_t mode) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(name);
        assert(text);

        if (asprintf(&temporary, ".%s.tmp", name) < 0)
                return -ENOMEM;

        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;

        r = loop_write(fd, text, strlen(text));
        if (r >= 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0);
        return r;
}

int send_with_fds(int sock, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds, int flags) {
        union {
                char buffer[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
                struct cmsghdr header;
        } control = {};
        struct msghdr message = { .msg_iov = (struct iovec *) iov, .msg_iovlen = n_iov };

        if (n_fds > MESSAGE_FDS_MAX)
                return -EMSGSIZE;

        if (n_fds > 0) {
                control.header = (struct cmsghdr) {
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
                };
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        }

        return sendmsg(sock, &message, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* All or nothing: descriptors that the caller has no room for are closed, never leaked, and the message counts as too
 * long. The kernel has installed them by the time we see how many there are. */
ssize_t receive_with_fds(int sock, void *buffer, size_t size, int *fds, size_t *n_fds, int flags) {
        union {
                char buffer[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
                struct cmsghdr header;
        } control;
        struct iovec iov = { .iov_base = buffer, .iov_len = size };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof control,
        };
        size_t room = *n_fds, got = 0;
        ssize_t n;

        n = recvmsg(sock, &message, flags | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < k; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (got < room)
                                fds[got++] = fd;
                        else {
                                safe_close(fd);
                                message.msg_flags |= MSG_CTRUNC;
                        }
                }
        }

        if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
                close_many(fds, got);
                return -EMSGSIZE;
        }

        *n_fds = got;
        return n;
}
