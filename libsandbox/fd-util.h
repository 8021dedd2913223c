/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "libsandbox/macro.h"

/* Closes a valid descriptor, keeps errno, returns -EBADF: "fd = safe_close(fd);" */
int safe_close(int fd);
void close_many(int *fds, size_t n);

static inline void closep(int *fd) {
        safe_close(*fd);
}
static inline void fclosep(FILE **f) {
        if (*f)
                fclose(*f);
}
static inline void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

int fd_set_nonblock(int fd, bool nonblock);


/* A directory whose entries are to be read. The first takes the descriptor over, also on failure, and passes a negative
 * errno in its place on; the second follows no link. */
int directory_from_fd(int fd, DIR **ret);
int directory_open_at(int dir_fd, const char *name, DIR **ret);

/* Whole small files. The text is NUL-terminated, a trailing newline is cut; more than max bytes is -E2BIG. */
int read_text_at(int dir_fd, const char *path, size_t max, char **ret);
/* One write() of the whole text to an existing file, as cgroupfs and procfs want it. */
int write_text_at(int dir_fd, const char *path, const char *text);
/* Temporary file + rename in the same directory; readers see the old or the new text. */
int write_file_atomic_at(int dir_fd, const char *name, const char *text, mode_t mode);

/* Loops over short counts and EINTR. loop_read() returns the bytes read, less than n at end of file. */
ssize_t loop_read(int fd, void *buffer, size_t n);
int loop_write(int fd, const void *buffer, size_t n);

#define MESSAGE_FDS_MAX 64U

/* One message with descriptors. A message over the limits is -EMSGSIZE, received descriptors are O_CLOEXEC and
 * closed on failure. receive returns the bytes, 0 on end of file. */
int send_with_fds(int sock, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds, int flags);
ssize_t receive_with_fds(int sock, void *buffer, size_t size, int *fds, size_t *n_fds, int flags);
