/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/flatten.h"

#include <errno.h>

#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/time-util.h"
#include "sandboxd/snapshot-prune.h"
#include "sandboxd/snapshot.h"

/* One after the other, and after each a pause as long as it took: never more than half of what one process can do. The
 * layers are those that the clones began with, which nobody writes to; so the clones run on meanwhile. Whose root has
 * been replaced by the time has none of them any more, and is left out. */

#define FLATTEN_LAYERS 4U /* of the eight that are stacked: as many generations have time to come while it is done */
#define PAUSE_MIN_USEC (100 * USEC_PER_MSEC)
#define QUEUE_MAX 256U

typedef struct Member {
        Sandbox *sandbox;
        unsigned n_roots; /* as it was */
} Member;

typedef struct Flatten Flatten;

struct Flatten {
        Flattener *flattener;
        Flatten *next;
        Member *members;
        unsigned n_members;
        char id[40];
        uint64_t bytes;
};

struct Flattener {
        Manager *manager;
        Flatten *first; /* the one that is under way */
        sd_event_source *timer;
        uint64_t began_usec;
};

static Flatten *flatten_free(Flatten *x) {
        if (x) {
                for (unsigned i = 0; i < x->n_members; i++)
                        sandbox_unref(x->members[i].sandbox);
                free(x->members);
                free(x);
        }
        return NULL;
}

Flattener *flattener_free(Flattener *f) {
        if (!f)
                return NULL;
        while (f->first) {
                Flatten *x = f->first;

                f->first = x->next;
                flatten_free(x);
        }
        sd_event_source_disable_unref(f->timer);
        free(f);
        return NULL;
}

static bool is_as_it_was(const Member *member) {
        const Sandbox *s = member->sandbox;

        return !s->leaving && sandbox_is_live(s) && !s->share && !s->flat && s->n_roots == member->n_roots;
}

static Sandbox *find_live(const Flatten *x) {
        for (unsigned i = 0; i < x->n_members; i++)
                if (is_as_it_was(x->members + i))
                        return x->members[i].sandbox;
        return NULL;
}

static void end(Flatten *x, int error) {
        Flattener *f = x->flattener;
        Manager *m = f->manager;
        uint64_t took = now_usec(CLOCK_MONOTONIC) - f->began_usec;

        if (error < 0)
                log_debug_errno(error, "Failed to merge layers, ignoring: %m");
        if (x->id[0]) /* it stays as long as somebody stands on it */
                snapshot_drop_files(m, x->id);
        f->first = x->next;
        flatten_free(x);
        if (f->first) {
                (void) sd_event_source_set_time_relative(f->timer, MAX(took, PAUSE_MIN_USEC));
                (void) sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
        } else
                manager_unattend(m);
}

static void on_adopted(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Sandbox *s = userdata;

        (void) error;
        if (!reply)
                s->flat = false;
        sandbox_unref(s);
}

static void on_published(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Flatten *x = userdata;
        Manager *m = x->flattener->manager;

        if (!reply) {
                end(x, -sd_bus_error_get_errno(error));
                return;
        }
        for (unsigned i = 0; i < x->n_members; i++) {
                Sandbox *s = x->members[i].sandbox;

                if (!is_as_it_was(x->members + i) ||
                    fsd_share(m->fsd, "Adopt", x->id, s->id, on_adopted, sandbox_ref(s)) < 0)
                        continue;
                s->flat = true;
        }
        log_debug("What %u sandboxes stand on is one layer now: %s", x->n_members, x->id);
        end(x, 0);
}

static void on_merged(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Flatten *x = userdata;
        uint64_t files;
        int r;

        if (!reply) {
                end(x, -sd_bus_error_get_errno(error));
                return;
        }
        r = sd_bus_message_read(reply, "tt", &x->bytes, &files);
        if (r >= 0)
                r = fsd_publish(x->flattener->manager->fsd, x->id, x->bytes, on_published, x);
        if (r < 0)
                end(x, r);
}

static void on_made(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Flatten *x = userdata;
        Sandbox *s = find_live(x);
        int r = -ESTALE;

        if (!reply) {
                end(x, -sd_bus_error_get_errno(error));
                return;
        }
        if (s)
                r = execd_copy(x->flattener->manager->execd, "Flatten", s->id, reply, x->bytes, on_merged, x);
        if (r < 0)
                end(x, r);
}

static int make(Flatten *x) {
        Manager *m = x->flattener->manager;
        Sandbox *s = find_live(x);
        int r;

        if (!s)
                return -ESTALE;
        r = object_id_random("snap", x->id);
        if (r < 0)
                return r;
        (void) store_set_number(m->store, "unclean", 1); /* should we not come to its end */
        return fsd_make_snapshot(m->fsd, x->id, s->id, on_made, x);
}

/* Nothing that anybody asked for is deleted for it. */
static void on_usage(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(snapshot_usage_done) SnapshotUsage u = {};
        Flatten *x = userdata;
        uint64_t budget = x->flattener->manager->settings.snapshot_budget;
        int r;

        r = reply ? snapshot_usage_read(reply, &u) : -sd_bus_error_get_errno(error);
        if (r >= 0) {
                x->bytes = budget > u.bytes ? budget - u.bytes : 0;
                r = x->bytes > 0 ? make(x) : -ENOSPC;
        }
        if (r < 0)
                end(x, r);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Flattener *f = userdata;
        Manager *m = f->manager;
        Flatten *x = f->first;
        int r;

        (void) source;
        (void) usec;
        if (!x)
                return 0;
        f->began_usec = now_usec(CLOCK_MONOTONIC);
        x->bytes = UINT64_MAX / 2;
        r = m->settings.snapshot_budget > 0 ? fsd_snapshots(m->fsd, "Usage", NULL, on_usage, x) : make(x);
        if (r < 0)
                end(x, r);
        return 0;
}

static int flattener_get(Manager *m, Flattener **ret) {
        Flattener *f = m->flattener;
        int r;

        if (!f) {
                f = new0(Flattener, 1);
                if (!f)
                        return -ENOMEM;
                f->manager = m;
                r = sd_event_add_time_relative(m->event, &f->timer, CLOCK_MONOTONIC, 0, 1, on_timer, f);
                if (r >= 0)
                        r = sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
                if (r < 0) {
                        flattener_free(f);
                        return r;
                }
                m->flattener = f;
        }
        *ret = f;
        return 0;
}

static void add_member(Flatten *x, Sandbox *s) {
        x->members[x->n_members++] = (Member) { sandbox_ref(s), s->n_roots };
}

static int append(Flattener *f, Sandbox *source, Sandbox *const *clones, unsigned n) {
        Flatten *x, **last = &f->first;
        unsigned length = 0;

        for (; *last; last = &(*last)->next)
                if (++length == QUEUE_MAX)
                        return -EBUSY;
        x = new0(Flatten, 1);
        if (x)
                x->members = new0(Member, n + 1);
        if (!x || !x->members) {
                flatten_free(x);
                return -ENOMEM;
        }
        x->flattener = f;
        for (unsigned i = 0; i < n; i++)
                add_member(x, clones[i]);
        if (source)
                add_member(x, source);
        if (last == &f->first) {
                manager_attend(f->manager);
                (void) sd_event_source_set_time_relative(f->timer, PAUSE_MIN_USEC);
                (void) sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
        }
        *last = x;
        return 0;
}

void flatten_add(Manager *m, Sandbox *source, Sandbox *const *clones, unsigned n, unsigned n_layers) {
        Flattener *f;
        int r;

        if (n_layers < FLATTEN_LAYERS || n == 0 || m->stopping)
                return;
        r = flattener_get(m, &f);
        if (r >= 0)
                r = append(f, source, clones, n);
        if (r < 0)
                log_debug_errno(r, "Failed to note that layers are to be merged, ignoring: %m");
}
