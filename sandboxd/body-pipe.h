/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"
#include "sandboxd/request.h"

/* A request's raw body on its way to somebody who reads a pipe, as fast as he does. */
typedef struct BodyPipe {
        Request *request;       /* NULL: there will be no more of it */
        int fd;                 /* the end that is written */
        bool is_pipe;           /* false: fd is a file, which takes all or is full */
        sd_event_source *writable;
        uint64_t received, limit;
} BodyPipe;

#define BODY_PIPE_NULL ((BodyPipe) { .fd = -EBADF })

/* The end to be read is the caller's. */
int body_pipe_open(BodyPipe *p, sd_event *event, int *ret_fd);
/* As BodySink.write has it. More than the limit is -EFBIG; what nobody reads any more is dropped. */
ssize_t body_pipe_write(BodyPipe *p, const char *data, size_t n);
/* The reader sees the end, of a whole body or of a broken one. */
void body_pipe_close(BodyPipe *p);
