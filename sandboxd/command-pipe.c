/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/command-pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

/* The pipes are open to the users of the sandbox by name, too: "echo x >/dev/stderr" opens them anew. */
int make_pipe(int *ret_ours, int *ret_theirs, bool input) {
        int pair[2];

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        *ret_ours = pair[input ? 1 : 0];
        *ret_theirs = pair[input ? 0 : 1];
        if (fchmod(*ret_theirs, 0666) < 0)
                return -errno;
        return fd_set_nonblock(*ret_ours, true);
}

int make_socket(int *ret_ours, int *ret_theirs) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        *ret_ours = pair[0];
        *ret_theirs = pair[1];
        return fd_set_nonblock(*ret_ours, true);
}
