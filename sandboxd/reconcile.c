/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/reconcile.h"

#include <errno.h>
#include <jansson.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/network.h"
#include "sandboxd/removal.h"
#include "sandboxd/sandbox-event.h"
#include "sandboxd/snapshot.h"
#include "sandboxd/volume.h"

/* Three lists are compared, one after the other: what execd runs, what fsd stores, which commands there are. Nothing is
 * created here; what does not fit is adopted or ended. If a service does not answer, the records are believed and the
 * flag "unclean" in the store makes the next start try again. */

typedef struct Reconcile {
        Manager *manager;
        ReconcileCallback callback;
        void *userdata;
        bool failed;
} Reconcile;

/* What was left undone goes on before the first request comes. */
static void done(Manager *m, ReconcileCallback callback, void *userdata) {
        networks_start(m->networks);
        queue_start(m->queue);
        volumes_start(m->volumes);
        callback(userdata);
}

static void finish(Reconcile *c) {
        Manager *m = c->manager;

        if (!c->failed) {
                (void) store_set_number(m->store, "unclean", 0);
                (void) store_set_number(m->store, "warm", 0);
        } else
                log_warning("The records could not be compared with what runs; they are believed.");
        removal_arm_timer(m);
        (void) removal_sweep(m);
        done(m, c->callback, c->userdata);
        manager_unattend(m);
        free(c);
}

/* A scope without a record: the label is the record that was written at its creation. */
static int adopt(Manager *m, const char *id, const char *state, uint64_t deadline_usec, const char *label,
                 uint64_t created_usec) {
        _cleanup_(sandbox_unrefp) Sandbox *s = NULL;
        int r;

        r = sandbox_from_record(id, streq(state, "paused") ? "paused" : "running", created_usec / USEC_PER_MSEC,
                                label, &s);
        if (r < 0)
                return r;
        if (deadline_usec != USEC_INFINITY) {
                uint64_t now = now_usec(CLOCK_BOOTTIME), left = deadline_usec > now ? deadline_usec - now : 0;

                s->expires_msec = (now_usec(CLOCK_REALTIME) + left) / USEC_PER_MSEC;
                s->deadline_usec = deadline_usec;
        }
        s->seen = true;
        r = manager_add_sandbox(m, s);
        if (r < 0)
                return r;
        log_sandbox(LOG_NOTICE, id, "Adopted a sandbox that had no record.");
        return manager_save_sandbox(m, s);
}

static void end_stray(Manager *m, const char *id) {
        log_sandbox(LOG_WARNING, id, "A sandbox without a record cannot be adopted, ending it.");
        (void) execd_call(m->execd, "Kill", id, peer_ignore, NULL);
        removal_drop_root(m, id);
}

/* Of the pool of a sandboxd that crashed: this one makes its own. */
static void end_left_warm(Manager *m, const char *id) {
        (void) execd_call(m->execd, "Kill", id, peer_ignore, NULL);
        removal_drop_root(m, id);
}

/* The state that counts is the one of the cgroup. */
static void compare_state(Manager *m, Sandbox *s, const char *state) {
        SandboxState seen = streq(state, "paused") ? SANDBOX_PAUSED : streq(state, "live") ? SANDBOX_RUNNING
                                                                                           : SANDBOX_FAILED;

        SandboxState before = s->state;

        if (before == seen)
                return;
        (void) manager_set_state(m, s, seen);
        if (before == SANDBOX_CREATING && json_is_true(json_object_get(s->config, "network")))
                networks_suspect(m->networks, s);
        if (seen == SANDBOX_FAILED)
                sandbox_event_error(m, s, "init-died", NULL);
        else if (before == SANDBOX_CREATING)
                sandbox_event(m, EVENT_CREATED, s);
        else
                sandbox_event(m, seen == SANDBOX_PAUSED ? EVENT_PAUSED : EVENT_RESUMED, s);
}

static int read_list(Reconcile *c, sd_bus_message *reply) {
        const char *id, *state, *label;
        uint64_t deadline, created;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sstst)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sstst)", &id, &state, &deadline, &label, &created)) > 0) {
                Sandbox *s = manager_get_sandbox(c->manager, id);

                if (s) {
                        s->seen = true;
                        /* Whoever was creating it is gone, but it came to life, and the client may have been told. */
                        if (s->state != SANDBOX_CREATING || !streq(state, "dead"))
                                compare_state(c->manager, s, state);
                } else if (streq(label, WARM_LABEL))
                        end_left_warm(c->manager, id);
                else if (streq(state, "dead") || adopt(c->manager, id, state, deadline, label, created) < 0)
                        end_stray(c->manager, id);
        }
        return r;
}

static void forget_record(Manager *m, Sandbox *s) {
        _cleanup_(sandbox_unrefp) Sandbox *held = sandbox_ref(s);
        bool expired = sandbox_is_expired(s), made = s->state != SANDBOX_CREATING;

        if (s->state != SANDBOX_STOPPED) {
                log_sandbox(LOG_INFO, s->id, "The sandbox is gone (%s), forgetting its record.",
                            expired ? "expired" : "it ended without us");
                counters_add(&m->counters, expired ? COUNTER_EXPIRED : COUNTER_LOST);
                s->state = SANDBOX_STOPPED; /* what is told of it is its last state */
                if (expired)
                        sandbox_event(m, EVENT_EXPIRED, s);
                else
                        sandbox_event_error(m, s, made ? "lost" : "create-failed", NULL);
        } else
                sandbox_event_make_up(m, expired ? EVENT_EXPIRED : EVENT_KILLED, s);
        removal_drop_root(m, s->id);
        manager_forget_sandbox(m, s);
}

static void compare_records(Reconcile *c) {
        Manager *m = c->manager;
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes) {
                bool seen = s->seen;

                s->seen = false;
                s->elsewhere = !seen && s->worker && !streq(s->worker, m->settings.worker_name);
                if (s->elsewhere)
                        continue; /* its worker knows how it is; should that be dead, somebody reaps */
                if (!seen)
                        forget_record(m, s);
                else if (s->state == SANDBOX_CREATING) {
                        end_stray(m, s->id);
                        manager_forget_sandbox(m, s);
                } else
                        sandbox_event_make_up(m, EVENT_CREATED, s);
        }
}

/* Live as far as we knew, and execd has never heard of them: their sandbox's init is another one, or none. */
static void lose_commands(Manager *m) {
        Command *c;

        HASHMAP_FOREACH(c, m->commands) {
                bool seen = c->seen;

                c->seen = false;
                if (seen || !command_is_live(c))
                        continue;
                if (c->attended)
                        command_on_unknown(c);
                else if (c->kind == COMMAND_JOB)
                        command_on_missing(c);
                else {
                        c->state = COMMAND_LOST;
                        c->finished_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
                        (void) command_save(c);
                }
        }
}

static int adopt_stranger(Manager *m, const CommandStatus *status) {
        _cleanup_(command_unrefp) Command *c = NULL;
        Sandbox *s = manager_get_sandbox(m, status->sandbox);
        CommandKind kind = object_id_is_valid(status->command, "term") ? COMMAND_TERMINAL : COMMAND_STRANGER;
        uint64_t age;
        int r;

        if (!s || strlen(status->command) >= sizeof c->id)
                return -ENOENT;
        r = command_new(m, s, kind, "", &c);
        if (r < 0)
                return r;
        memcpy(c->id, status->command, strlen(status->command) + 1);
        if (kind == COMMAND_TERMINAL) /* it began, and we ended before it was written down */
                r = command_find_output(c);
        if (r < 0)
                return r;
        c->seen = true;
        age = now_usec(CLOCK_BOOTTIME) - status->started_usec;
        c->started_msec -= MIN(age / USEC_PER_MSEC, c->started_msec);
        r = manager_add_command(m, c);
        if (r >= 0)
                r = command_adopt(c, status);
        if (r < 0)
                manager_drop_command(m, c);
        else if (object_id_is_valid(c->id, "kern"))
                command_kill(c); /* nobody knows its context, and by itself it would never end */
        return r;
}

void reconcile_stranger(Manager *m, const CommandStatus *status) {
        if (queue_claim(m->queue, status))
                return;
        if (status->running)
                (void) adopt_stranger(m, status);
        else
                (void) execd_acknowledge(m->execd, status->sandbox, status->command);
}

static void take_command(Manager *m, const CommandStatus *status) {
        Command *c = manager_find_command(m, status->command);

        if (!c) {
                reconcile_stranger(m, status);
                return;
        }
        c->seen = true;
        if (!command_is_live(c))
                (void) execd_acknowledge(m->execd, status->sandbox, status->command);
        else if (!c->attended)
                (void) command_adopt(c, status);
        else
                command_on_status(c, status);
}

void reconcile_commands(Manager *m, sd_bus_message *reply) {
        CommandStatus status;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssubiibtt)");
        while (r >= 0 && (r = execd_read_command(reply, &status)) > 0)
                take_command(m, &status);
        if (r < 0)
                log_warning_errno(r, "Failed to read the list of commands, ignoring: %m");
        else
                lose_commands(m);
}

/* Ends that nobody told us of, because nobody was there to tell. Sandboxes that are being made are left alone: their
 * creation knows how it went. */
static void on_relisted(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        const char *id, *state, *label;
        uint64_t deadline, created;
        Manager *m = userdata;
        Sandbox *s;

        (void) error;
        if (!reply || sd_bus_message_enter_container(reply, 'a', "(sstst)") < 0)
                return;
        while (sd_bus_message_read(reply, "(sstst)", &id, &state, &deadline, &label, &created) > 0) {
                Sandbox *warm = warm_get(m->warm, id);

                s = manager_get_sandbox(m, id);
                if (s && !streq(state, "dead")) {
                        s->seen = true;
                        if (s->state != SANDBOX_CREATING)
                                compare_state(m, s, state);
                }
                if (warm)
                        warm->seen = !streq(state, "dead");
        }
        warm_forget_unseen(m->warm);
        HASHMAP_FOREACH(s, m->sandboxes) {
                if (!s->seen && !s->elsewhere && sandbox_is_live(s))
                        removal_on_gone(m, s->id, "init-died");
                s->seen = false;
        }
}

void reconcile_sandboxes(Manager *m) {
        (void) execd_list(m->execd, on_relisted, m);
}

static void on_commands(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Reconcile *c = userdata;

        if (reply)
                reconcile_commands(c->manager, reply);
        else
                log_warning("Failed to list commands: %s", error->message);
        c->failed |= !reply;
        finish(c);
}

static void on_roots(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Reconcile *c = userdata;
        const char *id;

        if (!reply) {
                log_warning("Failed to list the files of sandboxes: %s", error->message);
                c->failed = true;
        } else if (sd_bus_message_enter_container(reply, 'a', "s") >= 0)
                while (sd_bus_message_read_basic(reply, 's', &id) > 0)
                        if (!manager_get_sandbox(c->manager, id))
                                removal_drop_root(c->manager, id);

        if (execd_call(c->manager->execd, "Commands", "", on_commands, c) < 0) {
                c->failed = true;
                finish(c);
        }
}

static void on_list(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Reconcile *c = userdata;

        if (!reply || read_list(c, reply) < 0) {
                log_error("Failed to list sandboxes: %s", error ? error->message : "malformed reply");
                c->failed = true;
                finish(c);
                return;
        }
        compare_records(c);
        snapshot_reconcile(c->manager);
        if (fsd_list_roots(c->manager->fsd, on_roots, c) < 0)
                on_roots(NULL, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_SERVER, "nobody listens"), c);
}

void reconcile_start(Manager *m, ReconcileCallback callback, void *userdata) {
        uint64_t unclean = 1, warm = 1;
        Reconcile *c;

        (void) store_get_number(m->store, "unclean", &unclean);
        (void) store_get_number(m->store, "warm", &warm);
        if (!m->fresh && unclean == 0 && warm == 0 && hashmap_size(m->sandboxes) == 0) {
                /* A record is written before anything is made, so without records there is nothing to look for. */
                done(m, callback, userdata);
                return;
        }

        c = new0(Reconcile, 1);
        if (!c) {
                log_oom();
                done(m, callback, userdata);
                return;
        }
        *c = (Reconcile) { .manager = m, .callback = callback, .userdata = userdata };
        (void) store_set_number(m->store, "unclean", 1);
        manager_attend(m);
        if (execd_list(m->execd, on_list, c) < 0) {
                c->failed = true;
                finish(c);
        }
}
