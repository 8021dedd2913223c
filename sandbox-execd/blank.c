/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/blank.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/manager.h"

/* A reservation that finds no spare waits here instead of being bound to a sandbox of its own: so a burst is served in
 * the order of its arrival by whatever is ready first, and a blank whose making fails costs one answer only if there
 * is none left that could serve.
 *
 * The network namespace, the dearest part of a blank, is made here, off the way of a request, and freed by a worker of
 * the kernel some time after its last process died. Nothing tells a service cheaply how many wait there: user limits can
 * be set but not read, and slabinfo looks at every cache of the machine. So no count is kept; what bounds those that are
 * dead is the bound on those that are made: so many under way, and a rate when nobody waits. */

struct Reservation {
        Reservation *next;
        sd_bus_message *call;
};

static Pool *pool_of(Manager *m) {
        return &m->blanks.pool;
}

static Reservation *take_first(Blanks *b) {
        Reservation *r = b->first;

        b->first = r->next;
        if (!b->first)
                b->last = &b->first;
        b->pool.n_waiting--;
        return r;
}

static void reservation_free(Reservation *r) {
        sd_bus_message_unref(r->call);
        free(r);
}

static int begin_one(Manager *m) {
        SandboxId id;
        Sandbox *s;
        int r;

        r = sandbox_id_random(&id);
        if (r < 0)
                return r;
        r = sandbox_new(m, id.digits, &s);
        if (r < 0)
                return r;
        r = hashmap_put(m->sandboxes, s->record.id.digits, s);
        if (r < 0) {
                sandbox_free(s);
                return r;
        }
        s->pooled = true;
        m->blanks.pool.n_making++;
        sandbox_wake(s);
        return 0;
}

static void fail_first(Manager *m, int error, const char *text) {
        const char *name = error == -ENOSPC ? BUS_ERROR_NO_SPACE : BUS_ERROR_UNAVAILABLE;
        Reservation *r = take_first(&m->blanks);

        (void) sd_bus_reply_method_errorf(r->call, name, "The sandbox could not be made: %s.",
                                          text ?: strerror(-error));
        reservation_free(r);
}

void blanks_replenish(Manager *m) {
        Pool *p = pool_of(m);
        uint64_t now = now_usec(CLOCK_MONOTONIC), again;
        unsigned n;
        int r = 0;

        if (m->blanks.draining || !m->blanks.timer)
                return;
        n = pool_plan(p, now, &again);
        for (; n > 0 && r >= 0; n--)
                r = begin_one(m);
        if (r < 0) {
                log_warning_errno(r, "Failed to begin a blank sandbox: %m");
                again = now + USEC_PER_SEC;
                while (p->n_making == 0 && m->blanks.first) /* there is none that could serve them */
                        fail_first(m, r, NULL);
        }
        if (again == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(m->blanks.timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(m->blanks.timer, again);
        (void) sd_event_source_set_enabled(m->blanks.timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void) source;
        (void) usec;
        blanks_replenish(m);
        /* What was kept for another burst that did not come. */
        while (pool_surplus(pool_of(m)) > 0 && m->blanks.spares)
                sandbox_end(m->blanks.spares, END_FAILED);
        return 0;
}

int blanks_init(Manager *m) {
        Blanks *b = &m->blanks;
        int r;

        *b = (Blanks) { .pool = POOL_INIT(m->settings.blank_pool, m->settings.blank_rate) };
        b->pool.size_max = m->settings.blank_pool_max;
        b->last = &b->first;
        r = sd_event_add_time(service_event(m->service), &b->timer, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC,
                              on_timer, m);
        return r < 0 ? r : sd_event_source_set_enabled(b->timer, SD_EVENT_OFF);
}

void blanks_done(Manager *m) {
        Blanks *b = &m->blanks;

        b->timer = sd_event_source_disable_unref(b->timer);
        while (b->first)
                reservation_free(take_first(b));
}

static int hand_over(Sandbox *s, sd_bus_message *call, bool spare) {
        s->pooled = false;
        s->owner = sd_bus_message_get_bus(call);
        return sd_bus_reply_method_return(call, "sb", s->record.id.digits, (int) spare);
}

static int wait_for_one(Manager *m, sd_bus_message *call) {
        Blanks *b = &m->blanks;
        Reservation *r = new0(Reservation, 1);

        if (!r)
                return -ENOMEM;
        r->call = sd_bus_message_ref(call);
        *b->last = r;
        b->last = &r->next;
        b->pool.n_waiting++;
        b->pool.n_misses++;
        return 1;
}

static void note_taken(Manager *m) {
        pool_note_demand(pool_of(m), now_usec(CLOCK_MONOTONIC));
        blanks_note_busy(m);
}

int blanks_reserve(Manager *m, sd_bus_message *call) {
        Blanks *b = &m->blanks;
        Sandbox *s = b->spares;
        int r;

        b->draining = false;
        b->pool.used = true;
        if (s) {
                b->spares = s->next_spare;
                b->pool.n_ready--;
                b->pool.n_hits++;
                r = hand_over(s, call, /* spare= */ true);
        } else
                r = wait_for_one(m, call);
        note_taken(m);
        blanks_replenish(m);
        return r;
}

/* Whoever creates one sandbox mostly creates another one. So an id goes along with the answer, and the next creation is
 * a round trip shorter. It is the peer's like any reserved one and ends with its connection, but until it is used it
 * counts as a spare: the pool is not larger by it. One at a time, and never one that somebody waits for. */
const char *blanks_lend(Manager *m, sd_bus *bus) {
        Blanks *b = &m->blanks;
        Sandbox *s = b->spares;

        if (!s || b->lent || b->draining)
                return NULL;
        b->spares = s->next_spare;
        b->lent = s;
        s->pooled = false;
        s->owner = bus;
        return s->record.id.digits;
}

void blank_unlend(Sandbox *s) {
        Manager *m = s->manager;
        Blanks *b = &m->blanks;

        if (b->lent != s)
                return;
        b->lent = NULL;
        b->pool.n_ready--;
        if (s->created) {
                b->pool.n_hits++;
                note_taken(m);
        }
        blanks_replenish(m);
}

void blanks_forget_peer(Manager *m, const sd_bus *bus) {
        Blanks *b = &m->blanks;

        for (Reservation **r = &b->first; *r;) {
                Reservation *gone = *r;

                if (sd_bus_message_get_bus(gone->call) != bus) {
                        r = &gone->next;
                        continue;
                }
                *r = gone->next;
                if (!*r)
                        b->last = r;
                b->pool.n_waiting--;
                reservation_free(gone);
        }
}

void blank_parked(Sandbox *s) {
        Manager *m = s->manager;
        Blanks *b = &m->blanks;

        pool_note_made(&b->pool, /* success= */ true, now_usec(CLOCK_MONOTONIC));
        if (b->first) {
                Reservation *r = take_first(b);

                (void) hand_over(s, r->call, /* spare= */ false);
                reservation_free(r);
        } else {
                s->next_spare = b->spares;
                b->spares = s;
                b->pool.n_ready++;
        }
        blanks_replenish(m);
}

static void unlink_spare(Blanks *b, const Sandbox *s) {
        for (Sandbox **i = &b->spares; *i; i = &(*i)->next_spare)
                if (*i == s) {
                        *i = s->next_spare;
                        b->pool.n_ready--;
                        return;
                }
}

void blank_lost(Sandbox *s) {
        Manager *m = s->manager;
        Blanks *b = &m->blanks;

        if (s->state == SANDBOX_PARKED)
                unlink_spare(b, s);
        else {
                pool_note_made(&b->pool, /* success= */ s->error == 0, now_usec(CLOCK_MONOTONIC));
                if (s->error < 0 && b->pool.n_waiting > b->pool.n_making)
                        fail_first(m, s->error, s->error_text);
        }
        blanks_replenish(m);
}

void blanks_note_busy(Manager *m) {
        pool_note_busy(pool_of(m), now_usec(CLOCK_MONOTONIC));
}

unsigned blanks_drain(Manager *m) {
        unsigned n = 0;
        Sandbox *s;

        m->blanks.draining = true;
        (void) sd_event_source_set_enabled(m->blanks.timer, SD_EVENT_OFF);
        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->pooled) {
                        sandbox_end(s, END_FAILED);
                        n++;
                }
        return n;
}

void blanks_reload(Manager *m) {
        (void) blanks_drain(m);
        m->blanks.draining = false;
        m->blanks.pool.size = m->settings.blank_pool;
        m->blanks.pool.size_max = m->settings.blank_pool_max;
        m->blanks.pool.burst = 0;
        m->blanks.pool.rate = m->settings.blank_rate;
        blanks_replenish(m);
}
