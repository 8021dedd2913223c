/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/service.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* The loop of a daemon that exists only while somebody needs it. The one race that this brings, a client that connects
 * in the moment of the exit, is closed by a look at the listening sockets: a connection in their queue postpones the
 * exit, and one that comes later starts the daemon again. */

#define SOCKETS_MAX 32U

struct Service {
        ServiceOptions options;
        sd_event *event;
        sd_event_source *idle_timer;
        unsigned holds;
        int fds[SOCKETS_MAX];
        char **names;
        size_t n_fds;
};

static bool connection_waits(Service *s) {
        struct pollfd polls[SOCKETS_MAX];

        for (size_t i = 0; i < s->n_fds; i++)
                polls[i] = (struct pollfd) { .fd = s->fds[i], .events = POLLIN };
        return poll(polls, s->n_fds, 0) > 0;
}

static int arm_idle_timer(Service *s) {
        if (s->options.idle_usec == USEC_INFINITY || s->holds > 0)
                return sd_event_source_set_enabled(s->idle_timer, SD_EVENT_OFF);

        (void) sd_event_source_set_time_relative(s->idle_timer, s->options.idle_usec);
        return sd_event_source_set_enabled(s->idle_timer, SD_EVENT_ONESHOT);
}

/* The last look before leaving: a waiting connection or an owner who still has something to finish mean another turn. */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *s = userdata;

        (void) source;
        (void) usec;

        if (s->holds > 0)
                return 0;
        if (connection_waits(s) || (s->options.on_idle && s->options.on_idle(s->options.userdata) > 0))
                return arm_idle_timer(s);

        log_debug("Idle, exiting.");
        return sd_event_exit(s->event, 0);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Service *s = userdata;

        (void) source;
        (void) info;
        /* The time tells systemd (253 and newer) which of several reloads the next READY=1 belongs to. */
        (void) sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_usec(CLOCK_MONOTONIC));
        if (s->options.on_reload)
                (void) s->options.on_reload(s->options.userdata);
        (void) sd_notify(false, "READY=1");
        return 0;
}

static int take_sockets(Service *s) {
        int n;

        n = sd_listen_fds_with_names(/* unset_environment= */ true, &s->names);
        if (n < 0)
                return n;
        if ((size_t) n > SOCKETS_MAX)
                return -E2BIG;
        for (int i = 0; i < n; i++)
                s->fds[i] = SD_LISTEN_FDS_START + i;
        s->n_fds = (size_t) n;
        return 0;
}

static int set_up_event(Service *s) {
        sigset_t mask;
        int r;

        r = sd_event_default(&s->event);
        if (r < 0)
                return r;
        r = sd_event_set_watchdog(s->event, true);
        if (r < 0)
                return r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);

        r = sd_event_add_signal(s->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(s->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(s->event, NULL, SIGHUP, on_reload, s);
        if (r >= 0)
                r = sd_event_add_time_relative(s->event, &s->idle_timer, CLOCK_MONOTONIC, USEC_INFINITY / 4,
                                               USEC_PER_MSEC * 100, on_idle, s);
        return r;
}

int service_new(const ServiceOptions *options, Service **ret) {
        _cleanup_(service_freep) Service *s = NULL;
        int r;

        assert(options);
        assert(ret);

        log_set_program(options->program);

        s = new0(Service, 1);
        if (!s)
                return log_oom();
        s->options = *options;

        r = take_sockets(s);
        if (r < 0)
                return log_error_errno(r, "Failed to take the sockets that systemd passed: %m");

        r = set_up_event(s);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the event loop: %m");

        *ret = TAKE_PTR(s);
        return 0;
}

Service *service_free(Service *s) {
        if (s) {
                sd_event_source_disable_unref(s->idle_timer);
                sd_event_unref(s->event);
                strv_free(s->names);
                free(s);
        }
        return NULL;
}

sd_event *service_event(Service *s) {
        return s->event;
}

void service_set_userdata(Service *s, void *userdata) {
        s->options.userdata = userdata;
}

void service_set_idle_usec(Service *s, uint64_t usec) {
        s->options.idle_usec = usec;
        (void) arm_idle_timer(s);
}

void service_set_idle_sec(Service *s, uint32_t sec) {
        service_set_idle_usec(s, sec > 0 ? sec * USEC_PER_SEC : USEC_INFINITY);
}

int service_get_sockets(Service *s, const char *name, const int **ret_fds, size_t *ret_n) {
        size_t first = SOCKETS_MAX, n = 0;

        /* Sockets of one unit share their name and stand together. */
        for (size_t i = 0; i < s->n_fds; i++)
                if (streq(s->names[i], name)) {
                        first = MIN(first, i);
                        n++;
                }
        if (n == 0) {
                log_error("No socket named '%s' was passed: start %s through its socket unit.", name,
                          s->options.program);
                return -ENOENT;
        }
        *ret_fds = s->fds + first;
        *ret_n = n;
        return 0;
}

void service_hold(Service *s) {
        if (s && s->holds++ == 0)
                (void) sd_event_source_set_enabled(s->idle_timer, SD_EVENT_OFF);
}

void service_release(Service *s) {
        if (!s)
                return;
        assert(s->holds > 0);
        if (--s->holds == 0)
                (void) arm_idle_timer(s);
}

/* For an owner whose reason to stay has just gone: no further time is waited for. */
void service_check_idle(Service *s) {
        if (s && s->holds == 0 && s->options.idle_usec != USEC_INFINITY)
                (void) sd_event_source_set_time_relative(s->idle_timer, 0);
}

/* READY only now: systemd starts what is ordered behind us when we serve, and no sooner. */
int service_run(Service *s) {
        int r;

        (void) arm_idle_timer(s);
        (void) sd_notify(false, "READY=1");
        r = sd_event_loop(s->event);
        (void) sd_notify(false, "STOPPING=1");
        return r;
}
