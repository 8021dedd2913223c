/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/worker.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/removal.h"

/* Our own row is made anew before anything is told, so that it is never older than the question. The timer is for
 * others, who read the same rows, and keeps nobody from leaving: a worker that sleeps has nothing to offer but what the
 * next request wakes. */

#define BEAT_USEC (10 * USEC_PER_SEC)

struct Workers {
        Manager *manager;
        Membership membership;
        sd_event_source *timer;
};

static uint64_t now_msec(void) {
        return now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
}

/* The load of the last minute; what is more than the processors can do waits. */
static double cpu_percent(void) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        struct sysinfo info;

        if (n < 1 || sysinfo(&info) < 0)
                return 0;
        return round(MIN((double) info.loads[0] * 100 / (1 << SI_LOAD_SHIFT) / (double) n, 100.0));
}

static const char *own_id(const Workers *w) {
        return w->manager->settings.worker_name;
}

static uint64_t count_own(const Workers *w) {
        uint64_t n = 0;
        Sandbox *s;

        HASHMAP_FOREACH(s, w->manager->sandboxes)
                n += !s->elsewhere && !s->leaving;
        return n;
}

static Member make_own(const Workers *w, const char *hostname) {
        return (Member) { .id = own_id(w), .hostname = hostname, .active = count_own(w),
                          .max = w->manager->settings.max_sandboxes, .cpu_percent = cpu_percent(),
                          .heartbeat_msec = now_msec() };
}

static void get_hostname(char ret[HOST_NAME_MAX + 1]) {
        if (gethostname(ret, HOST_NAME_MAX + 1) < 0)
                strcpy(ret, "localhost");
        ret[HOST_NAME_MAX] = 0;
}

static json_t *worker_to_json(const Member *m) {
        return json_pack("{s:s, s:s, s:I, s:I, s:f, s:I}", "workerId", m->id, "hostname", m->hostname,
                         "activeSandboxes", (json_int_t) m->active, "maxSandboxes", (json_int_t) m->max, "cpuPercent",
                         m->cpu_percent, "lastHeartbeat", (json_int_t) m->heartbeat_msec);
}

/* We are here, with what we have. */
static int workers_beat(Workers *w) {
        char hostname[HOST_NAME_MAX + 1];
        Member own;

        get_hostname(hostname);
        own = make_own(w, hostname);
        return w->membership.ops->put(w->membership.backend, &own);
}

int workers_own(Workers *w, json_t **ret) {
        char hostname[HOST_NAME_MAX + 1];
        Member own;

        get_hostname(hostname);
        own = make_own(w, hostname);
        *ret = worker_to_json(&own);
        return *ret ? w->membership.ops->put(w->membership.backend, &own) : -ENOMEM;
}

bool worker_is_alive(const Member *member, uint64_t now) {
        return member->heartbeat_msec + WORKER_DEAD_MSEC > now;
}

bool worker_is_better(const Member *a, const Member *b) {
        if (b->max > 0 && b->active >= b->max)
                return false;
        if (!a)
                return true;
        if (a->max == 0 || b->max == 0)
                return a->max == 0 && (b->max > 0 || b->active < a->active);
        return b->active * a->max < a->active * b->max; /* fractions, without rounding */
}

typedef struct Listing {
        json_t *workers;
        uint64_t now;
        int alive, dead;
} Listing;

static int on_listed(const Member *member, void *userdata) {
        Listing *l = userdata;

        *(worker_is_alive(member, l->now) ? &l->alive : &l->dead) += 1;
        return json_array_append_new(l->workers, worker_to_json(member)) < 0 ? -ENOMEM : 0;
}

int workers_list(Workers *w, json_t **ret) {
        Listing l = {};
        int r;

        r = workers_beat(w);
        if (r < 0)
                return r;
        l.now = now_msec();
        l.workers = json_array();
        r = w->membership.ops->foreach(w->membership.backend, on_listed, &l);
        if (r < 0) {
                json_decref(l.workers);
                return r;
        }
        *ret = json_pack("{s:o, s:i, s:i}", "workers", l.workers, "alive", l.alive, "dead", l.dead);
        return *ret ? 0 : -ENOMEM;
}

typedef struct Selection {
        uint64_t now;
        bool found;
        Member best;
        char *id;
} Selection;

static int on_candidate(const Member *member, void *userdata) {
        Selection *s = userdata;

        if (!worker_is_alive(member, s->now) || !worker_is_better(s->found ? &s->best : NULL, member))
                return 0;
        s->found = true;
        s->best = *member;
        return free_and_strdup(&s->id, member->id); /* the strings are of the row */
}

int workers_select(Workers *w, char **ret_id) {
        _cleanup_free_ char *id = NULL;
        Selection s = {};
        int r;

        r = workers_beat(w);
        if (r < 0)
                return r;
        s.now = now_msec();
        r = w->membership.ops->foreach(w->membership.backend, on_candidate, &s);
        id = s.id;
        if (r < 0)
                return r;
        if (!s.found)
                return -ENOENT;
        *ret_id = TAKE_PTR(id);
        return 0;
}

typedef struct Dead {
        const char *own;
        uint64_t now;
        char **ids;
} Dead;

static int on_member(const Member *member, void *userdata) {
        Dead *d = userdata;

        if (streq(member->id, d->own) || worker_is_alive(member, d->now))
                return 0;
        return strv_extend(&d->ids, member->id);
}

/* What runs here was seen at execd when we began, so "elsewhere" says which of the two it is. */
static void reap_one(Workers *w, const char *id, WorkersReaped *ret) {
        Manager *m = w->manager;
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes) {
                if (!streq_ptr(s->worker, id) || s->leaving)
                        continue;
                if (s->elsewhere)
                        ret->expired += removal_start(m, s, COUNTER_EXPIRED, NULL, NULL) >= 0;
                else if (free_and_strdup(&s->worker, own_id(w)) >= 0 && manager_save_sandbox(m, s) >= 0)
                        ret->reassigned++;
        }
}

int workers_reap(Workers *w, WorkersReaped *ret) {
        Dead dead = { .own = own_id(w) };
        WorkersReaped total = {};
        int r;

        r = workers_beat(w);
        if (r < 0)
                return r;
        dead.now = now_msec();
        r = w->membership.ops->foreach(w->membership.backend, on_member, &dead);
        STRV_FOREACH(id, dead.ids) {
                WorkersReaped one = { .workers = 1 };

                reap_one(w, *id, &one);
                if (r >= 0)
                        r = w->membership.ops->remove(w->membership.backend, *id);
                log_notice("Worker %s is dead: %u of its sandboxes run here, %u are over.", *id, one.reassigned,
                           one.expired);
                event_publish(w->manager, "worker.reaped", NULL,
                              json_pack("{s:s, s:i, s:i}", "workerId", *id, "reassigned", (int) one.reassigned, "expired",
                                        (int) one.expired));
                total.workers++;
                total.reassigned += one.reassigned;
                total.expired += one.expired;
        }
        strv_free(dead.ids);
        *ret = total;
        return r;
}

unsigned workers_migrate(Workers *w) {
        unsigned n = 0;
        Sandbox *s;

        HASHMAP_FOREACH(s, w->manager->sandboxes)
                if (!s->worker && !s->elsewhere && !s->leaving && free_and_strdup(&s->worker, own_id(w)) >= 0 &&
                    manager_save_sandbox(w->manager, s) >= 0)
                        n++;
        return n;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) usec;
        (void) workers_beat(userdata);
        (void) sd_event_source_set_time_relative(source, BEAT_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int workers_new(Manager *m, Workers **ret) {
        Workers *w = new0(Workers, 1);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (Workers) { .manager = m, .membership = membership_in_store(m->store) };
        r = sd_event_add_time_relative(m->event, &w->timer, CLOCK_MONOTONIC, BEAT_USEC, USEC_PER_SEC, on_timer, w);
        if (r < 0) {
                workers_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

Workers *workers_free(Workers *w) {
        if (w) {
                w->membership.ops->free(w->membership.backend);
                sd_event_source_disable_unref(w->timer);
                free(w);
        }
        return NULL;
}
