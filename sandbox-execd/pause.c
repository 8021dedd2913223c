/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/pause.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/copy.h"
#include "sandbox-execd/manager.h"

/* The kernel freezes each task at its next return to user space, nearly always at once. It would tell by a note of
 * cgroup.events, but holds one back for 10 ms after the one before: asking is faster. A task that hangs in the kernel
 * runs nothing of its own and freezes when it returns, so nobody is made to wait for it for long. */
#define FROZEN_PAUSE_USEC (USEC_PER_MSEC / 2)
#define FROZEN_TRIES 200U

static bool is_frozen(const Sandbox *s) {
        uint64_t frozen;

        return cgroup_read_key(s->cgroup_fd, CGROUP_NAME_RUN "/cgroup.events", "frozen", &frozen) < 0 || frozen == 1;
}

static int on_pause_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Sandbox *s = userdata;

        (void) usec;
        if (--s->pause_tries > 0 && s->paused && !is_frozen(s)) {
                (void) sd_event_source_set_time_relative(source, FROZEN_PAUSE_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        (void) sd_bus_reply_method_return(s->pause_call, NULL);
        s->pause_call = sd_bus_message_unref(s->pause_call);
        s->pause_source = sd_event_source_disable_unref(s->pause_source);
        return 0;
}

static int wait_until_frozen(Sandbox *s, sd_bus_message *call) {
        int r;

        r = sd_event_add_time_relative(service_event(s->manager->service), &s->pause_source, CLOCK_MONOTONIC,
                                       FROZEN_PAUSE_USEC, 1, on_pause_timer, s);
        if (r < 0)
                return sd_bus_reply_method_return(call, NULL); /* it is asked for, only not waited for */
        s->pause_call = sd_bus_message_ref(call);
        s->pause_tries = FROZEN_TRIES;
        return 1;
}

int sandbox_pause(Sandbox *s, bool pause, sd_bus_message *call) {
        int r;

        if (s->paused == pause)
                return -EALREADY;
        if (s->copy) { /* frozen already, and until that is over */
                s->paused = pause;
                copy_note_pause(s);
                return sd_bus_reply_method_return(call, NULL);
        }
        r = write_text_at(s->cgroup_fd, CGROUP_NAME_RUN "/cgroup.freeze", pause ? "1" : "0");
        if (r < 0)
                return r == -ENOENT ? -EOPNOTSUPP : r;
        s->paused = pause;
        if (pause && !s->pause_call && !is_frozen(s))
                return wait_until_frozen(s, call);
        return sd_bus_reply_method_return(call, NULL);
}

void pause_done(Sandbox *s) {
        s->pause_source = sd_event_source_disable_unref(s->pause_source);
        if (s->pause_call)
                (void) sd_bus_reply_method_errorf(s->pause_call, BUS_ERROR_NO_SUCH_SANDBOX,
                                                  "Sandbox '%s' has ended.", s->record.id.digits);
        s->pause_call = sd_bus_message_unref(s->pause_call);
}
