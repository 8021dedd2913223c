/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/command-internal.h"
#include "sandboxd/command-pipe.h"
#include "sandboxd/manager.h"

/* What a command reads: nothing, a text that is ours to write as it takes it, or what a client sends as it comes. A
 * command that reads no more is no fault: it gets to say so itself. */

void command_close_input(Command *c) {
        void (*callback)(void *) = TAKE_PTR(c->on_input_closed);

        if (callback)
                callback(c->on_input_closed_userdata);
        c->stdin_source = sd_event_source_disable_unref(c->stdin_source);
        c->stdin_fd = safe_close(c->stdin_fd);
        c->stdin_data = mfree(c->stdin_data);
}

static int on_input_ready(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Command *c = userdata;
        ssize_t n;

        (void) source;
        (void) fd;
        (void) events;
        n = command_write_input(c, c->stdin_data + c->stdin_done, c->stdin_length - c->stdin_done);
        if (n > 0)
                c->stdin_done += (size_t) n;
        if (n < 0 || c->stdin_done == c->stdin_length)
                command_close_input(c);
        return 0;
}

ssize_t command_write_input(Command *c, const char *data, size_t n) {
        ssize_t k;

        if (c->stdin_fd < 0)
                return -EPIPE;
        k = write(c->stdin_fd, data, n);
        if (k < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
        return k;
}

int command_open_input(Command *c, const CommandInput *input) {
        int r;

        if (c->kind == COMMAND_KERNEL)
                return make_socket(&c->stdin_fd, &c->child_fds[0]);
        if (!input->data && !input->pipe) {
                c->child_fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                return c->child_fds[0] < 0 ? -errno : 0;
        }
        r = make_pipe(&c->stdin_fd, &c->child_fds[0], /* input= */ true);
        if (r < 0 || !input->data)
                return r;

        c->stdin_data = strdup(input->data);
        if (!c->stdin_data)
                return -ENOMEM;
        c->stdin_length = strlen(input->data);
        return sd_event_add_io(c->manager->event, &c->stdin_source, c->stdin_fd, EPOLLOUT, on_input_ready, c);
}
