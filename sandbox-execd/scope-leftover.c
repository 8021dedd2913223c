/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/scope-leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"

/* A directory that is still there may be that of a unit that systemd is slow to collect. Were it taken away then, systemd
 * might never see the unit end. So the unit is stopped first; mostly there is none. One at a time, as the others may well
 * go by themselves when systemd has so much to do. */

#define LOOK_USEC (500 * USEC_PER_MSEC)

typedef struct Leftover Leftover;

struct Leftover {
        Leftover *next;
        uint64_t due_usec;
        char path[];
};

/* In the order of their time. While a unit is being stopped it is the first one's. */
struct Leftovers {
        SystemdClient *systemd;
        int root_fd;
        sd_event_source *timer;
        Leftover *first, **last;
        SystemdRequest *stopping;
        void (*on_none)(void *userdata);
        void *userdata;
};

static void enqueue(Leftovers *l, Leftover *i) {
        i->next = NULL;
        i->due_usec = now_usec(CLOCK_MONOTONIC) + LOOK_USEC;
        *l->last = i;
        l->last = &i->next;
}

static Leftover *dequeue(Leftovers *l) {
        Leftover *i = l->first;

        l->first = i->next;
        if (!l->first)
                l->last = &l->first;
        return i;
}

static void wait_for_first(Leftovers *l) {
        if (l->stopping)
                return;
        if (!l->first) {
                if (l->on_none)
                        l->on_none(l->userdata);
                return;
        }
        (void) sd_event_source_set_time(l->timer, l->first->due_usec);
        (void) sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static void on_stopped(int error, const char *details, void *userdata) {
        Leftovers *l = userdata;
        Leftover *i = dequeue(l);
        int r;

        l->stopping = NULL;
        r = error < 0 ? error : cgroup_remove_tree(l->root_fd, i->path + 1);
        if (r == -EBUSY)
                enqueue(l, i); /* what was killed is on its way out */
        else {
                if (r < 0)
                        log_warning_errno(r, "Failed to remove the cgroup %s, leaving it to the next start: %s", i->path,
                                          details ?: strerror(-r));
                free(i);
        }
        wait_for_first(l);
}

static bool is_gone(const Leftovers *l, const Leftover *i) {
        return faccessat(l->root_fd, i->path + 1, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        SystemdRequestOptions options = { .action = SYSTEMD_STOP_WAIT, .on_done = on_stopped, .userdata = userdata };
        Leftovers *l = userdata;
        int r = 0;

        (void) source;
        while (l->first && l->first->due_usec <= usec && is_gone(l, l->first))
                free(dequeue(l));
        if (l->first && l->first->due_usec <= usec) {
                options.unit = strrchr(l->first->path, '/') + 1;
                r = systemd_client_request(l->systemd, &options, &l->stopping);
        }
        if (r < 0)
                on_stopped(r, NULL, l);
        else
                wait_for_first(l);
        return 0;
}

int leftovers_new(sd_event *event, SystemdClient *systemd, int cgroup_root_fd, Leftovers **ret) {
        _cleanup_(leftovers_freep) Leftovers *l = NULL;
        int r;

        l = new0(Leftovers, 1);
        if (!l)
                return -ENOMEM;
        *l = (Leftovers) { .systemd = systemd, .root_fd = cgroup_root_fd };
        l->last = &l->first;
        r = sd_event_add_time(event, &l->timer, CLOCK_MONOTONIC, USEC_INFINITY, 100 * USEC_PER_MSEC, on_timer, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

Leftovers *leftovers_free(Leftovers *l) {
        if (!l)
                return NULL;
        sd_event_source_disable_unref(l->timer);
        systemd_request_free(l->stopping);
        while (l->first)
                free(dequeue(l));
        free(l);
        return NULL;
}

/* Without memory for it there is the next daemon, which looks for scopes that are nobody's. */
void leftovers_add(Leftovers *l, const char *cgroup_path) {
        Leftover *i;

        assert(cgroup_path[0] == '/');

        i = calloc(1, sizeof *i + strlen(cgroup_path) + 1);
        if (!i)
                return;
        strcpy(i->path, cgroup_path);
        enqueue(l, i);
        if (l->first == i)
                wait_for_first(l);
}

bool leftovers_pending(const Leftovers *l) {
        return l->first;
}

void leftovers_on_none(Leftovers *l, void (*handler)(void *userdata), void *userdata) {
        l->on_none = handler;
        l->userdata = userdata;
}
