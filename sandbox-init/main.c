/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/timerfd.h>

#include "sandbox-init/init.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

/* PID 1 of a sandbox: no libc, no heap, one thread, one loop. What it owns, and the daemons may therefore lose, is in
 * command.h; what it is asked for arrives on the socket of libsandbox/init-protocol.h. Nobody inside can reach that
 * socket, signal init (PID 1 of a pid namespace has no default actions), or look into it (it is not dumpable). */

#define EXIT_SETUP 1
#define DRAIN_MAX 64U
#define SIGNAL_LAST 64
#define SIGNAL_SET_SIZE 8U

ARCH_START;

void init_main(void) __attribute__((noreturn, used));

/* The dispositions and the mask that execd had are inherited; commands shall have the default ones. */
static void reset_signals(void) {
        struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } standard = {};
        uint64_t all = UINT64_MAX;

        for (int n = 1; n <= SIGNAL_LAST; n++)
                (void) SYS(rt_sigaction, n, &standard, NULL, SIGNAL_SET_SIZE);
        (void) SYS(rt_sigprocmask, SIG_SETMASK, &all, NULL, SIGNAL_SET_SIZE);
}

static bool init_setup(Init *i) {
        uint64_t mask = UINT64_C(1) << (SIGCHLD - 1);

        reset_signals();

        /* 0 to 2 are what a command's are put over; were one of them free, a received descriptor would land there. */
        for (int fd = 0; fd <= INIT_FD_PROC; fd++)
                if (SYS(fcntl, fd, F_GETFD) < 0)
                        return false;
        (void) SYS(fcntl, INIT_FD_LISTEN, F_SETFD, FD_CLOEXEC);
        (void) SYS(fcntl, INIT_FD_PROC, F_SETFD, FD_CLOEXEC);
        /* Until there is a vault, so that the number is not given to anything else. */
        if (SYS(dup3, INIT_FD_PROC, INIT_FD_VAULT, O_CLOEXEC) < 0)
                return false;

        i->connection = -EBADF;
        i->timer_usec = USEC_INFINITY;
        i->signal_fd = (int) SYS(signalfd4, -1, &mask, SIGNAL_SET_SIZE, O_CLOEXEC | O_NONBLOCK);
        i->timer_fd = (int) SYS(timerfd_create, CLOCK_BOOTTIME, O_CLOEXEC | O_NONBLOCK);
        return i->signal_fd >= 0 && i->timer_fd >= 0;
}

static void arm_timer(Init *i) {
        uint64_t usec = command_table_next_deadline(&i->commands);
        struct __kernel_itimerspec spec = {};

        if (usec == i->timer_usec)
                return;

        /* All zero is "off"; a deadline of 0 is merely long past. */
        if (usec != USEC_INFINITY) {
                spec.it_value.tv_sec = (long long) (usec / USEC_PER_SEC);
                spec.it_value.tv_nsec = (long long) (usec % USEC_PER_SEC * 1000) + 1;
        }

        (void) SYS(timerfd_settime, i->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
        i->timer_usec = usec;
}

/* signalfd and timerfd only wake us: what is to be done follows from the processes and the clock. */
static void drain(int fd) {
        char buffer[128];

        (void) SYS(read, fd, buffer, sizeof(buffer));
}

enum { POLL_LISTEN, POLL_CONNECTION, POLL_SIGNAL, POLL_TIMER, _POLL_FIXED };

typedef struct Watch {
        struct pollfd fds[_POLL_FIXED + STARTING_MAX];
        Command *starting[STARTING_MAX];
        size_t n_starting;
} Watch;

static bool flush_is_due(const Init *i) {
        if (i->hello_due || i->reply_due)
                return true;
        for (size_t n = 0; n < i->commands.n_used; n++)
                if (i->commands.rows[n].reply_due || i->commands.rows[n].notice_due)
                        return true;
        return false;
}

static void watch_prepare(Watch *w, Init *i) {
        short events = 0;

        w->n_starting = 0;
        COMMAND_FOREACH(c, &i->commands)
                if (c->state == COMMAND_STARTING && c->start_fd >= 0 && w->n_starting < STARTING_MAX) {
                        w->fds[_POLL_FIXED + w->n_starting] = (struct pollfd) { .fd = c->start_fd, .events = POLLIN };
                        w->starting[w->n_starting++] = c;
                }

        /* One request at a time, and none while its answer cannot be sent or too many are between clone and exec. */
        if (!i->reply_due && w->n_starting < STARTING_MAX)
                events |= POLLIN;
        if (flush_is_due(i))
                events |= POLLOUT;

        w->fds[POLL_LISTEN] = (struct pollfd) { .fd = INIT_FD_LISTEN, .events = POLLIN };
        w->fds[POLL_CONNECTION] = (struct pollfd) { .fd = i->connection, .events = events };
        w->fds[POLL_SIGNAL] = (struct pollfd) { .fd = i->signal_fd, .events = POLLIN };
        w->fds[POLL_TIMER] = (struct pollfd) { .fd = i->timer_fd, .events = POLLIN };
}

/* The old connection's daemon is dead, but what it sent, an ACKNOWLEDGE say, is valid; within limits, should it be
 * alive after all. */
static void accept_newer(Init *i) {
        for (unsigned n = 0; n < DRAIN_MAX && i->connection >= 0 && !i->reply_due; n++) {
                if (init_receive(i) <= 0)
                        break;
                init_dispatch(i);
                init_flush(i);
        }

        init_accept(i);
}

static void serve_connection(Init *i, const struct pollfd *p) {
        if (p->revents & p->events & POLLIN) {
                if (init_receive(i) > 0)
                        init_dispatch(i);
        } else if (p->revents & (POLLHUP | POLLERR | POLLNVAL))
                init_disconnect(i);
}

static void serve(Init *i) {
        const struct __kernel_timespec at_once = {};
        Watch w;

        watch_prepare(&w, i);
        if (SYS(ppoll, w.fds, _POLL_FIXED + w.n_starting, i->reap_due ? &at_once : NULL, NULL, SIGNAL_SET_SIZE) < 0)
                return;

        for (size_t n = 0; n < w.n_starting; n++)
                if (w.fds[_POLL_FIXED + n].revents)
                        init_settle_command(i, w.starting[n]);
        if (w.fds[POLL_SIGNAL].revents)
                drain(i->signal_fd);
        if (w.fds[POLL_SIGNAL].revents || i->reap_due)
                init_reap(i);
        if (w.fds[POLL_TIMER].revents) {
                drain(i->timer_fd);
                i->timer_usec = USEC_INFINITY;
                init_enforce_deadlines(i);
        }
        if (w.fds[POLL_LISTEN].revents)
                accept_newer(i);
        else {
                bool connected = i->connection >= 0;

                serve_connection(i, &w.fds[POLL_CONNECTION]);
                /* A blank is its daemon's only: the next one would make its own. */
                if (connected && i->connection < 0 && i->phase != INIT_PHASE_LIVE)
                        SYS(exit_group, EXIT_SETUP);
        }

        init_flush(i);
        arm_timer(i);
}

void init_main(void) {
        static Init state;

        if (!init_setup(&state))
                SYS(exit_group, EXIT_SETUP);
        for (;;)
                serve(&state);
}
