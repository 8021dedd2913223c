/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/removal.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/exchange.h"
#include "sandboxd/sandbox-event.h"

/* A sandbox that is being removed is marked at once (leaving): of two that ask, one finds it. The mark is not stored: a
 * removal that a crash of ours interrupted is found again as a record without a scope, or comes back as what it still
 * is, a live sandbox. */

typedef struct Removal {
        Manager *manager;
        Sandbox *sandbox;
        Counter reason;
        RemovalCallback callback;
        void *userdata;
} Removal;

static Removal *removal_free(Removal *r) {
        if (r) {
                sandbox_unref(r->sandbox);
                free(r);
        }
        return NULL;
}
DEFINE_CLEANUP(Removal *, removal_free)

/* A command of a sandbox that is gone has no status any more, unless it was told before. */
static void end_commands(Manager *m, const Sandbox *s) {
        Command *c;

        HASHMAP_FOREACH(c, m->commands)
                if (c->sandbox == s)
                        command_on_sandbox_gone(c);
}

typedef struct RootRemoval {
        Manager *manager;
        SandboxId id;
} RootRemoval;

/* Only now the record goes: had we died before, it would have made the next start look again. */
static void on_root_removed(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ RootRemoval *removal = userdata;
        Manager *m = removal->manager;

        (void) reply;
        service_release(m->service);
        event_hub_flush(m->events); /* the record is what the next start would tell of its end by */
        if (error) {
                log_warning("Failed to remove the files of a sandbox, the next start tries again: %s",
                            error->message);
                (void) store_set_number(m->store, "unclean", 1);
        } else if (store_remove_sandbox(m->store, removal->id.digits) < 0)
                log_sandbox(LOG_WARNING, removal->id.digits, "The record stays until the next start.");
}

void removal_drop_root(Manager *m, const char *id) {
        _cleanup_free_ RootRemoval *removal = NULL;

        if (!sandbox_id_is_valid(id))
                return;
        removal = new0(RootRemoval, 1);
        if (removal) {
                removal->manager = m;
                memcpy(removal->id.digits, id, sizeof removal->id.digits);
        }
        if (!removal || fsd_remove_root(m->fsd, id, on_root_removed, removal) < 0) {
                (void) store_set_number(m->store, "unclean", 1);
                return;
        }
        service_hold(m->service);
        TAKE_PTR(removal);
}

/* It is gone for everybody at once; its record, as stopped (and so counted, should the next start find it), and its files
 * follow when the reply is out. */
static void forget(Manager *m, Sandbox *s, Counter reason) {
        _cleanup_(sandbox_unrefp) Sandbox *held = sandbox_ref(s);

        counters_add_later(&m->counters, reason);
        queue_end_sandbox(m->queue, s->public_id);
        end_commands(m, s);
        exchanges_end_sandbox(m->exchanges, s, "The sandbox has ended");
        s->state = SANDBOX_STOPPED;
        sandbox_event(m, reason == COUNTER_EXPIRED ? EVENT_EXPIRED : EVENT_KILLED, s);
        manager_forget_sandbox(m, s);
        manager_save_later(m, s);
        removal_arm_timer(m);
}

static void on_killed(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(removal_freep) Removal *r = userdata;
        bool gone = reply || sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_SANDBOX);

        if (gone)
                forget(r->manager, r->sandbox, r->reason);
        else {
                log_sandbox(LOG_ERR, r->sandbox->id, "Failed to end the sandbox: %s", error->message);
                r->sandbox->leaving = false;
        }
        if (r->callback)
                r->callback(gone ? NULL : error, r->userdata);
        manager_unattend(r->manager);
}

int removal_start(Manager *m, Sandbox *s, Counter reason, RemovalCallback callback, void *userdata) {
        _cleanup_(removal_freep) Removal *removal = NULL;
        int r;

        removal = new0(Removal, 1);
        if (!removal)
                return -ENOMEM;
        *removal = (Removal) { .manager = m, .sandbox = sandbox_ref(s), .reason = reason, .callback = callback,
                               .userdata = userdata };

        r = execd_call(m->execd, "Kill", s->id, on_killed, removal);
        if (r < 0)
                return r;
        s->leaving = true;
        manager_attend(m);
        TAKE_PTR(removal);
        return 0;
}

void removal_on_gone(Manager *m, const char *id, const char *reason) {
        Sandbox *s = manager_get_sandbox(m, id);

        if (!s || s->state == SANDBOX_CREATING)
                return;
        if (s->leaving)
                return; /* the answer to Kill() is on its way and does the work */
        if (streq(reason, "expired") || sandbox_is_expired(s)) {
                s->leaving = true;
                forget(m, s, COUNTER_EXPIRED);
        } else if (streq(reason, "killed")) {
                s->leaving = true;
                forget(m, s, COUNTER_KILLED);
        } else if (s->state != SANDBOX_FAILED) {
                log_sandbox(LOG_WARNING, s->id, "The sandbox failed: %s.", reason);
                counters_add(&m->counters, COUNTER_LOST);
                (void) manager_set_state(m, s, SANDBOX_FAILED);
                sandbox_event_error(m, s, reason, NULL);
                end_commands(m, s);
                exchanges_end_sandbox(m->exchanges, s, "The sandbox has failed");
        }
}

unsigned removal_sweep(Manager *m) {
        unsigned n = 0;
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (!s->leaving && s->state != SANDBOX_CREATING && sandbox_is_expired(s) &&
                    removal_start(m, s, COUNTER_EXPIRED, NULL, NULL) >= 0)
                        n++;
        return n;
}

static int on_expiry(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void) source;
        (void) usec;
        (void) removal_sweep(m);
        removal_arm_timer(m);
        return 0;
}

/* The deadline itself is execd's and systemd's; this one only keeps the records true while we run. */
void removal_arm_timer(Manager *m) {
        uint64_t next = USEC_INFINITY;
        Sandbox *s;
        int r;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (!s->leaving && s->state != SANDBOX_CREATING)
                        next = MIN(next, s->deadline_usec);
        if (next == USEC_INFINITY) {
                if (m->expiry_timer)
                        (void) sd_event_source_set_enabled(m->expiry_timer, SD_EVENT_OFF);
                return;
        }
        if (!m->expiry_timer) {
                r = sd_event_add_time(m->event, &m->expiry_timer, CLOCK_BOOTTIME, next, USEC_PER_SEC / 10, on_expiry,
                                      m);
                if (r < 0)
                        log_warning_errno(r, "Failed to add a timer, ignoring: %m");
                return;
        }
        (void) sd_event_source_set_time(m->expiry_timer, next);
        (void) sd_event_source_set_enabled(m->expiry_timer, SD_EVENT_ONESHOT);
}
