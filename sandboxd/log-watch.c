/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/log-watch.h"

#include <errno.h>

#include "libsandbox/time-util.h"

/* A list of all watches, walked for each output of a background command. There are as many as clients who read a log at
 * this moment: few, and none most of the time, so that a table by sandbox would cost more than it saves. */

struct LogWatch {
        Manager *manager;
        LogWatch *next, *previous;
        Sandbox *sandbox;
        void (*wake)(void *userdata);
        void *userdata;
};

int log_watch_new(Manager *m, Sandbox *s, void (*wake)(void *userdata), void *userdata, LogWatch **ret) {
        LogWatch *w = new0(LogWatch, 1);

        if (!w)
                return -ENOMEM;
        *w = (LogWatch) { .manager = m, .next = m->log_watches, .sandbox = sandbox_ref(s), .wake = wake,
                          .userdata = userdata };
        if (w->next)
                w->next->previous = w;
        m->log_watches = w;
        *ret = w;
        return 0;
}

LogWatch *log_watch_free(LogWatch *w) {
        if (w) {
                if (w->next)
                        w->next->previous = w->previous;
                if (w->previous)
                        w->previous->next = w->next;
                else
                        w->manager->log_watches = w->next;
                sandbox_unref(w->sandbox);
                free(w);
        }
        return NULL;
}

void log_watch_wake(Manager *m, const Sandbox *s) {
        for (LogWatch *w = m->log_watches; w; w = w->next)
                if (w->sandbox == s)
                        w->wake(w->userdata);
}

void log_watch_note(Command *c) {
        if (c->kind == COMMAND_BACKGROUND) {
                output_times_note(&c->times, spool_total(c->outputs[0].spool), now_usec(CLOCK_REALTIME) / USEC_PER_MSEC);
                log_watch_wake(c->manager, c->sandbox);
        }
}
