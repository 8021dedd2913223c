/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/due.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup-mounts.h"
#include "sandbox-execd/due-systemd.h"

/* Ends what is due with no daemon of ours at work, and starts sandboxd when it asked for it: systemd starts this at the earliest deadline. The entries stay for
 * sandbox-execd, which frees what else belongs to the sandbox; it is woken by a connection to its socket. */

/* A timer may fire a little early against CLOCK_BOOTTIME; that much is waited for, not armed for. */
#define EARLY_USEC (50 * USEC_PER_MSEC)

typedef struct Due {
        int cgroup_fd;
        uint64_t now, next;
        unsigned killed;
        bool wake;
} Due;

static int kill_entry(Due *d, const DueEntry *entry) {
        _cleanup_close_ int dir = -EBADF;

        /* The records are root's own, but nothing outside the sandboxes' slice is ever killed on their word. */
        if (!startswith(entry->cgroup, "/sandbox.slice/") || strstr(entry->cgroup, "//"))
                return -EBADMSG;
        dir = openat(d->cgroup_fd, entry->cgroup + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
                return errno == ENOENT ? 0 : -errno;
        return write_text_at(dir, "cgroup.kill", "1");
}

static int on_entry(const DueEntry *entry, void *userdata) {
        Due *d = userdata;
        int r;

        if (entry->deadline_usec > d->now) {
                d->next = MIN(d->next, entry->deadline_usec);
                return 0;
        }
        r = kill_entry(d, entry);
        if (r < 0 && r != -ENODEV)
                log_sandbox_errno(LOG_WARNING, r, entry->id, "Failed to end the sandbox at its deadline: %m");
        else
                d->killed++;
        return 0;
}

static int pass(Due *d, int due_fd) {
        unsigned bad;
        int r;

        uint64_t wake;

        d->now = now_usec(CLOCK_BOOTTIME);
        d->next = USEC_INFINITY;
        r = due_wake_read(due_fd, &wake);
        if (r < 0)
                log_warning_errno(r, "Failed to read when to start sandboxd, ignoring: %m");
        else if (wake <= d->now)
                d->wake = true; /* it says when next, once it runs */
        else
                d->next = wake;
        r = due_foreach(due_fd, on_entry, d, &bad);
        if (bad > 0)
                log_warning("%u deadlines are not readable, ignoring them.", bad);
        return r;
}

static void wait_until(uint64_t usec) {
        struct timespec ts = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                               .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC) };

        while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL) == EINTR)
                ;
}

/* Starts the daemon by its socket unit, if it may start. */
static void poke(const char *path) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (fd < 0 || strlen(path) >= sizeof address.sun_path)
                return;
        strcpy(address.sun_path, path);
        (void) connect(fd, (const struct sockaddr *) &address, sizeof address);
}

static int run(void) {
        _cleanup_close_ int due_fd = -EBADF;
        Due d = { .cgroup_fd = -EBADF };
        int r;

        due_fd = open(DUE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (due_fd < 0)
                return errno == ENOENT ? 0 : log_error_errno(errno, "Failed to open %s: %m", DUE_DIRECTORY);
        d.cgroup_fd = cgroup2_root_open();
        if (d.cgroup_fd < 0)
                return log_error_errno(d.cgroup_fd, "No cgroup2 tree is mounted: %m");

        r = pass(&d, due_fd);
        while (r >= 0 && d.next != USEC_INFINITY && d.next - d.now <= EARLY_USEC) {
                wait_until(d.next);
                r = pass(&d, due_fd);
        }
        safe_close(d.cgroup_fd);
        if (r < 0)
                return log_error_errno(r, "Failed to read the deadlines: %m");

        r = due_systemd_arm(d.next, d.now);
        if (d.killed > 0)
                poke(EXECD_SOCKET_PATH);
        if (d.killed > 0 || d.wake)
                poke(API_SOCKET_PATH);
        return r;
}

int main(int argc, char **argv) {
        log_set_program("sandbox-due");
        if (argc > 1) {
                int wrong = !streq(argv[1], "--help") && !streq(argv[1], "-h");

                fputs("sandbox-due\n\nEnds the sandboxes whose deadline has passed. Started by a timer.\n",
                      wrong ? stderr : stdout);
                return wrong ? 2 : EXIT_SUCCESS;
        }
        return run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
