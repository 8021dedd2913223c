/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/due-systemd.h"

#include <systemd/sd-bus.h>

#include "libsandbox/log.h"
#include "sandbox-execd/due-timer.h"

/* sandbox-due's talk to systemd: synchronous, since it is a short-lived program that has nothing else to do. The
 * private socket of PID 1 is tried first: a deadline must hold where dbus-daemon is stopped or masked, too. */

#define SYSTEMD "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"

static int connect_systemd(sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, "unix:path=/run/systemd/private");
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return sd_bus_open_system(ret);
        *ret = TAKE_PTR(bus);
        return 0;
}

/* "fail" and a name made of the deadline: if execd has armed the same meanwhile that is no error, it is done. */
static int start_timer(sd_bus *bus, uint64_t deadline_usec) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char name[DUE_TIMER_NAME_MAX];
        int r;

        due_timer_name(deadline_usec, name);
        r = sd_bus_message_new_method_call(bus, &m, SYSTEMD, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", name, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = due_timer_append_properties(m, deadline_usec);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r >= 0)
                r = sd_bus_call(bus, m, 0, &error, NULL);
        if (r < 0 && !sd_bus_error_has_name(&error, "org.freedesktop.systemd1.UnitExists"))
                return log_error_errno(r, "Failed to arm the timer for the next deadline: %s", error.message ?: "?");
        return 0;
}

/* A transient timer that has fired stays loaded, and there would be one more with each deadline of an uptime. */
static int stop_stale(sd_bus *bus, uint64_t next_usec, uint64_t now) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *unit, *s[7];
        uint64_t deadline;
        uint32_t job;
        int r;

        r = sd_bus_call_method(bus, SYSTEMD, "ListUnitsByPatterns", NULL, &reply, "asas", 0, 1, "sandbox-due@*.timer");
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        while (r >= 0) {
                r = sd_bus_message_read(reply, "(ssssssouso)", &unit, s, s + 1, s + 2, s + 3, s + 4, s + 5, &job, s + 6,
                                        s + 6);
                if (r <= 0)
                        break;
                if (due_timer_from_name(unit, &deadline) >= 0 && due_timer_is_stale(deadline, next_usec, now))
                        (void) sd_bus_call_method(bus, SYSTEMD, "StopUnit", NULL, NULL, "ss", unit, "replace");
        }
        return r;
}

int due_systemd_arm(uint64_t next_usec, uint64_t now) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = connect_systemd(&bus);
        if (r < 0)
                return log_error_errno(r, "Failed to connect to the system manager: %m");
        if (next_usec != USEC_INFINITY) {
                r = start_timer(bus, next_usec);
                if (r < 0)
                        return r;
        }
        r = stop_stale(bus, next_usec, now);
        if (r < 0)
                log_warning_errno(r, "Failed to stop timers that fired, ignoring: %m");
        return 0;
}
