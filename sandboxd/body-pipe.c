/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/body-pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        BodyPipe *p = userdata;

        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (p->request)
                request_body_wake(p->request);
        return 0;
}

int body_pipe_open(BodyPipe *p, sd_event *event, int *ret_fd) {
        _cleanup_close_ int theirs = -EBADF;
        int pair[2], r;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        theirs = pair[0];
        p->fd = pair[1];
        p->is_pipe = true;
        (void) fcntl(p->fd, F_SETPIPE_SZ, (int) MiB);
        r = fd_set_nonblock(p->fd, true);
        if (r >= 0)
                r = sd_event_add_io(event, &p->writable, p->fd, EPOLLOUT, on_writable, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->writable, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(theirs);
        return 0;
}

ssize_t body_pipe_write(BodyPipe *p, const char *data, size_t n) {
        ssize_t k;

        if (p->received + n > p->limit)
                return -EFBIG;
        if (p->fd < 0)
                return (ssize_t) n;
        k = write(p->fd, data, n);
        if (k < 0 && errno == EAGAIN)
                k = 0;
        if (k < 0 && errno == EPIPE && p->is_pipe)
                return (ssize_t) n; /* the reader gave up: its answer says why */
        if (k < 0)
                return -errno;
        if ((size_t) k < n) {
                if (!p->is_pipe)
                        return -ENOSPC;
                /* taking less than offered suspends the request until it is woken */
                (void) sd_event_source_set_enabled(p->writable, SD_EVENT_ONESHOT);
        }
        p->received += (uint64_t) k;
        return k;
}

void body_pipe_close(BodyPipe *p) {
        p->writable = sd_event_source_disable_unref(p->writable);
        p->fd = safe_close(p->fd);
}
