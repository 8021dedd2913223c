/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/terminal-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include "libsandbox/fd-util.h"
#include "sandboxd/manager.h"

struct TerminalWriter {
        Command *command;
        sd_event_source *writable; /* once the terminal takes no more for now */
        TerminalWaiter waiter;     /* until there is something to write to */
        void (*wake)(void *userdata);
        void *userdata;
};

static void on_settled(void *userdata) {
        TerminalWriter *w = userdata;

        w->wake(w->userdata);
}

int terminal_writer_new(Command *c, void (*wake)(void *userdata), void *userdata, TerminalWriter **ret) {
        TerminalWriter *w = new0(TerminalWriter, 1);

        if (!w)
                return -ENOMEM;
        *w = (TerminalWriter) { .command = command_ref(c), .waiter = { .wake = on_settled, .userdata = w },
                                .wake = wake, .userdata = userdata };
        *ret = w;
        return 0;
}

TerminalWriter *terminal_writer_free(TerminalWriter *w) {
        if (w) {
                sd_event_source_disable_unref(w->writable);
                terminal_unwait(w->command, &w->waiter);
                command_unref(w->command);
                free(w);
        }
        return NULL;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        TerminalWriter *w = userdata;

        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        w->wake(w->userdata);
        return 0;
}

/* By a descriptor of its own: there may be several writers at a time. */
static int wait_writable(TerminalWriter *w) {
        int fd, r;

        if (w->writable)
                return sd_event_source_set_enabled(w->writable, SD_EVENT_ONESHOT);
        fd = fcntl(w->command->stdin_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;
        r = sd_event_add_io(w->command->manager->event, &w->writable, fd, EPOLLOUT, on_writable, w);
        if (r < 0) {
                safe_close(fd);
                return r;
        }
        (void) sd_event_source_set_io_fd_own(w->writable, true);
        return sd_event_source_set_enabled(w->writable, SD_EVENT_ONESHOT);
}

ssize_t terminal_writer_write(TerminalWriter *w, const char *data, size_t n) {
        ssize_t k;
        int r;

        if (terminal_is_awaited(w->command)) {
                terminal_wait(w->command, &w->waiter);
                return 0;
        }
        k = command_write_input(w->command, data, n);
        if (k >= 0 && (size_t) k < n) {
                r = wait_writable(w);
                if (r < 0)
                        return r;
        }
        return k;
}
