/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/deadline.h"

#include <errno.h>

#include "libsandbox/log.h"
#include "sandbox-execd/due-timer.h"

/* The timer is systemd's, not ours, because it must fire with all of our programs dead or masked. Its name holds the
 * moment it is for, so that two who arm the same deadline (this daemon, the one before it, sandbox-due) meet in one
 * unit, and one who stops an old one cannot hit a new one. */

#define LATER_DELAY_USEC (500 * USEC_PER_MSEC)

/* What is wanted (earliest) and what systemd was told (armed) may differ for a while: then a request is under way, or
 * stale is set and the timer of ours will make one. */
struct Deadlines {
        SystemdClient *systemd;
        sd_event_source *later_timer, *exit_source;
        uint64_t earliest, armed; /* USEC_INFINITY: none */
        SystemdRequest *arming, *stopping;
        bool stale;               /* armed is earlier than earliest */
        uint64_t arming_usec;
};

static int append_properties(sd_bus_message *m, void *userdata) {
        return due_timer_append_properties(m, ((Deadlines *) userdata)->arming_usec);
}

static void on_stopped(int error, const char *details, void *userdata) {
        Deadlines *d = userdata;

        d->stopping = NULL;
        if (error < 0)
                log_debug_errno(error, "Failed to stop the timer of an earlier deadline, ignoring: %s: %m", details);
}

/* A failure is no harm: a timer too many starts sandbox-due, which finds nothing due. */
static void stop_timer(Deadlines *d, uint64_t usec) {
        SystemdRequestOptions options = { .action = SYSTEMD_STOP, .on_done = on_stopped, .userdata = d };
        char name[DUE_TIMER_NAME_MAX];

        if (usec == USEC_INFINITY)
                return;
        d->stopping = systemd_request_free(d->stopping);
        due_timer_name(usec, name);
        options.unit = name;
        (void) systemd_client_request(d->systemd, &options, &d->stopping);
}

static void arm(Deadlines *d);

static void on_armed(int error, const char *details, void *userdata) {
        Deadlines *d = userdata;

        d->arming = NULL;
        if (error < 0 && error != -EEXIST) /* an earlier daemon, or sandbox-due, armed the same */
                log_error_errno(error, "Failed to arm the timer for the next deadline: %s: %m", details ? details : "");
        if (d->arming_usec != d->earliest && !d->stale)
                arm(d);
}

/* The new one first, then the old one is stopped: at no moment is there none. */
static void arm(Deadlines *d) {
        SystemdRequestOptions options = { .action = SYSTEMD_START_TRANSIENT, .append_properties = append_properties,
                                          .on_done = on_armed, .userdata = d };
        uint64_t old = d->armed;
        char name[DUE_TIMER_NAME_MAX];
        int r;

        d->stale = false;
        (void) sd_event_source_set_enabled(d->later_timer, SD_EVENT_OFF);
        if (d->arming) {
                d->arming = systemd_request_free(d->arming); /* it is made all the same, and stopped as old */
        }
        d->armed = d->arming_usec = d->earliest;
        if (d->earliest != USEC_INFINITY) {
                due_timer_name(d->earliest, name);
                options.unit = name;
                r = systemd_client_request(d->systemd, &options, &d->arming);
                if (r < 0)
                        log_error_errno(r, "Failed to ask for the timer of the next deadline: %m");
        }
        if (old != d->earliest)
                stop_timer(d, old);
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        arm(userdata);
        return 0;
}

/* What was put off is said before the loop ends, since sd-bus closes its connections then. */
static int on_exit_flush(sd_event_source *source, void *userdata) {
        Deadlines *d = userdata;

        (void) source;
        if (d->stale)
                arm(d);
        systemd_client_drain(d->systemd);
        return 0;
}

int deadlines_new(sd_event *event, SystemdClient *systemd, Deadlines **ret) {
        Deadlines *d = new0(Deadlines, 1);
        int r;

        if (!d)
                return -ENOMEM;
        *d = (Deadlines) { .systemd = systemd, .earliest = USEC_INFINITY, .armed = USEC_INFINITY };
        r = sd_event_add_time_relative(event, &d->later_timer, CLOCK_MONOTONIC, USEC_INFINITY / 4, 0, on_later, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->later_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_exit(event, &d->exit_source, on_exit_flush, d);
        if (r >= 0)
                r = sd_event_source_set_priority(d->exit_source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0) {
                deadlines_free(d);
                return r;
        }
        *ret = d;
        return 0;
}

Deadlines *deadlines_free(Deadlines *d) {
        if (d) {
                systemd_request_free(d->arming);
                systemd_request_free(d->stopping);
                sd_event_source_disable_unref(d->later_timer);
                sd_event_source_disable_unref(d->exit_source);
                free(d);
        }
        return NULL;
}

void deadlines_set_earliest(Deadlines *d, uint64_t usec) {
        d->earliest = usec;
        if (usec == d->armed) {
                d->stale = false;
                (void) sd_event_source_set_enabled(d->later_timer, SD_EVENT_OFF);
        } else if (usec < d->armed)
                arm(d);
        else if (!d->stale) {
                d->stale = true;
                (void) sd_event_source_set_time_relative(d->later_timer, LATER_DELAY_USEC);
                (void) sd_event_source_set_enabled(d->later_timer, SD_EVENT_ONESHOT);
        }
}

bool deadlines_pending(const Deadlines *d) {
        return d->stale || d->arming || d->stopping;
}
