/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"

/* The daemon's side of a helper: fork, exec, and an answer of one line through a pipe. A helper that dies without one,
 * or takes too long, is a failed work like any other; it can neither block the loop nor outlive us. */

struct Helper {
        HelperOptions options;
        sd_event_source *child, *timer;
        int result_fd;
        bool timed_out;
};

Helper *helper_free(Helper *h) {
        if (!h)
                return NULL;
        /* The child source owns the process: it ends and reaps it. */
        sd_event_source_disable_unref(h->child);
        sd_event_source_disable_unref(h->timer);
        safe_close(h->result_fd);
        service_release(h->options.service);
        free(h);
        return NULL;
}

/* "<positive errno> <text>", written at one go. Its end is not waited for: a program that the helper has started may live on,
 * and have the other end of the pipe. */
static int read_result(Helper *h, char text[HELPER_TEXT_MAX]) {
        char buffer[HELPER_TEXT_MAX], *space;
        int64_t error;
        ssize_t n;

        n = read(h->result_fd, buffer, sizeof buffer - 1);
        if (n < 0)
                return errno == EAGAIN ? -EPROTO : -errno;
        buffer[n] = 0;
        space = strchr(buffer, ' ');
        if (!space)
                return -EPROTO; /* it died before it could say why */
        *space = 0;
        if (parse_i64(buffer, &error) < 0 || error < 0 || error > 4095)
                return -EPROTO;
        (void) snprintf(text, HELPER_TEXT_MAX, "%s", space + 1);
        return -(int) error;
}

/* The answer is read when the process has ended: it is short enough for a pipe, so nobody has to read it before. */
static int on_exit_of_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        _cleanup_(helper_freep) Helper *h = userdata;
        char text[HELPER_TEXT_MAX] = "The work ended without a result.";
        int r;

        (void) source;
        r = read_result(h, text);
        if (r >= 0 && (info->si_code != CLD_EXITED || info->si_status != 0))
                r = -EPROTO;
        if (r < 0 && h->timed_out)
                r = -ETIMEDOUT;
        h->options.handler(r, text, h->options.userdata);
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Helper *h = userdata;

        (void) source;
        (void) usec;
        h->timed_out = true;
        return sd_event_source_send_child_signal(h->child, SIGKILL, NULL, 0);
}

/* Only what is safe between fork and exec. */
static void run_child(const HelperOptions *o, int result_fd) {
        const char *arguments[] = { "sandbox-fsd", "--helper", o->work, NULL };
        int fds[HELPER_FDS_MAX + 1] = { result_fd };
        sigset_t none;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        /* All of them out of the way first, then each to its number. */
        for (size_t i = 0; i < o->n_fds; i++)
                fds[i + 1] = o->fds[i];
        for (size_t i = 0; i <= o->n_fds; i++) {
                fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HELPER_FD_FIRST + HELPER_FDS_MAX);
                if (fds[i] < 0)
                        _exit(EXIT_FAILURE);
        }
        for (size_t i = 0; i <= o->n_fds; i++)
                if (dup2(fds[i], HELPER_FD_RESULT + (int) i) < 0)
                        _exit(EXIT_FAILURE);
        if (syscall(SYS_close_range, HELPER_FD_FIRST + (unsigned) o->n_fds, ~0U, 0) < 0)
                _exit(EXIT_FAILURE);

        (void) execve(o->program, (char **) arguments, environ);
        _exit(EXIT_FAILURE);
}

static int watch_child(Helper *h, pid_t pid) {
        sd_event *event = service_event(h->options.service);
        int r;

        r = sd_event_add_child(event, &h->child, pid, WEXITED, on_exit_of_child, h);
        if (r < 0) {
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        r = sd_event_source_set_child_process_own(h->child, true);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &h->timer, CLOCK_BOOTTIME, h->options.timeout_usec, 0, on_timeout,
                                               h);
        return r;
}

int helper_new(const HelperOptions *options, Helper **ret) {
        _cleanup_(helper_freep) Helper *h = NULL;
        _cleanup_close_ int write_fd = -EBADF;
        int fds[2], r;
        pid_t pid;

        assert(options->n_fds <= HELPER_FDS_MAX);

        h = new0(Helper, 1);
        if (!h)
                return -ENOMEM;
        *h = (Helper) { .options = *options, .result_fd = -EBADF };
        service_hold(options->service);

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        h->result_fd = fds[0];
        write_fd = fds[1];
        r = fd_set_nonblock(h->result_fd, true);
        if (r < 0)
                return r;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(options, write_fd);
        r = watch_child(h, pid);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}
