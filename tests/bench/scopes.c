/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "tests/bench/bench.h"

/* The most scopes that systemd starts in a second when nobody does anything else: StartTransientUnit() over PID 1's
 * private socket, each with one process that waits, until the JobRemoved of the last. */

typedef struct Scopes {
        sd_bus *bus;
        pid_t *pids;
        unsigned n, asked, done;
        int error;
} Scopes;

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Scopes *s = userdata;
        const char *unit, *result;
        uint32_t id;

        (void) error;
        if (sd_bus_message_read(m, "uoss", &id, NULL, &unit, &result) < 0 || !strstr(unit, "sandbench-"))
                return 0;
        if (!streq(result, "done"))
                s->error = -EPROTO;
        s->done++;
        return 0;
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Scopes *s = userdata;

        (void) error;
        if (sd_bus_message_is_method_error(m, NULL))
                s->error = -EPROTO;
        return 0;
}

static int ask(Scopes *s) {
        char name[64];
        unsigned i = s->asked++;

        snprintf(name, sizeof name, "sandbench-%d-%u.scope", getpid(), i);
        return sd_bus_call_method_async(s->bus, NULL, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                        "org.freedesktop.systemd1.Manager", "StartTransientUnit", on_started, s,
                                        "ssa(sv)a(sa(sv))", name, "fail", 5, "PIDs", "au", 1, (uint32_t) s->pids[i],
                                        "Delegate", "b", 1, "DefaultDependencies", "b", 0, "CollectMode", "s",
                                        "inactive-or-failed", "KillSignal", "i", SIGKILL, 0);
}

static int drive(Scopes *s, unsigned in_flight) {
        int r = 0;

        while (r >= 0 && s->error == 0 && s->done < s->n) {
                while (r >= 0 && s->asked < s->n && s->asked - s->done < in_flight)
                        r = ask(s);
                if (r >= 0)
                        r = sd_bus_process(s->bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(s->bus, 30 * USEC_PER_SEC);
        }
        return r < 0 ? r : s->error;
}

static int connect_pid1(Scopes *s) {
        int r;

        r = sd_bus_new(&s->bus);
        if (r >= 0)
                r = sd_bus_set_address(s->bus, "unix:path=/run/systemd/private");
        if (r >= 0)
                r = sd_bus_start(s->bus);
        if (r >= 0)
                r = sd_bus_match_signal(s->bus, NULL, NULL, NULL, "org.freedesktop.systemd1.Manager", "JobRemoved",
                                        on_job_removed, s);
        return r;
}

static void end_processes(Scopes *s) {
        for (unsigned i = 0; i < s->n && s->pids[i] > 0; i++) {
                kill(s->pids[i], SIGKILL);
                (void) waitpid(s->pids[i], NULL, 0);
        }
}

int scopes_start(unsigned n, unsigned in_flight, double *ret_per_sec) {
        Scopes s = { .n = n };
        double begin;
        int r;

        s.pids = calloc(n, sizeof(pid_t));
        if (!s.pids)
                return -ENOMEM;
        for (unsigned i = 0; i < n; i++) {
                s.pids[i] = fork();
                if (s.pids[i] == 0)
                        for (;;)
                                pause();
        }
        r = connect_pid1(&s);
        begin = now_in_usec();
        if (r >= 0)
                r = drive(&s, in_flight);
        *ret_per_sec = (double) n * 1e6 / (now_in_usec() - begin);
        end_processes(&s);
        sd_bus_flush_close_unref(s.bus);
        free(s.pids);
        return r;
}
