/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/due.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/command.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/pause.h"
#include "sandbox-execd/sandbox-steps.h"

/* The walk. s->step counts the steps that were begun, so the one to undo first is always s->step - 1, whether it was
 * done, is waiting for somebody's answer, or failed half way: every undo copes with all three. Nothing else decides what
 * must be cleared up. A sandbox that was restored from its record stands behind the last step. */

#define RECHECK_USEC (50 * USEC_PER_MSEC)
#define MAKING_TIMEOUT_USEC (60 * USEC_PER_SEC)
#define FAULT_FILE "fault"

static const char *const end_reasons[_END_REASON_MAX] = {
        [END_KILLED] = "killed",
        [END_EXPIRED] = "expired",
        [END_OOM] = "oom",
        [END_INIT_DIED] = "init-died",
        [END_FAILED] = "failed",
};

const char *end_reason_to_string(EndReason r) {
        assert(r >= 0 && r < _END_REASON_MAX);
        return end_reasons[r];
}

CreateRequest *create_request_free(CreateRequest *q) {
        if (q) {
                for (size_t i = 0; i < q->n_layers; i++)
                        safe_close(q->layers[i].fd);
                sandbox_spec_done(&q->spec);
                sd_bus_message_unref(q->call);
                free(q);
        }
        return NULL;
}

/* The daemon stays while a sandbox is on its way up or down. A parked or live one as such needs nobody. */
static void hold(Sandbox *s, bool wanted) {
        if (s->held == wanted)
                return;
        s->held = wanted;
        if (wanted)
                service_hold(s->manager->service);
        else
                service_release(s->manager->service);
}

/* Tests write the name or number of a step into this file of root's; it makes the step fail once. */
static void take_fault(Sandbox *s) {
        _cleanup_free_ char *text = NULL;
        unsigned step;

        if (read_text_at(s->manager->state_fd, FAULT_FILE, 64, &text) < 0)
                return;
        step = sandbox_step_find(strstrip(text));
        if (step < s->step || step >= s->target)
                return; /* for a later part of the way */
        /* It fails after it was done: what it did must be undone too. */
        s->fault = step;
        (void) unlinkat(s->manager->state_fd, FAULT_FILE, 0);
}

static void leave_parked(Sandbox *s) {
        s->state = SANDBOX_MAKING;
        s->target = n_sandbox_steps;
        hold(s, true);
        (void) sd_event_source_set_time_relative(s->timeout_source, MAKING_TIMEOUT_USEC);
        (void) sd_event_source_set_enabled(s->timeout_source, SD_EVENT_ONESHOT);
        take_fault(s);
        sandbox_wake(s);
}

static void walk_forward(Sandbox *s) {
        while (s->step < s->target) {
                const SandboxStep *step = sandbox_steps + s->step++;
                int r;

                r = step->apply(s);
                if (r == 0)
                        return;
                if (r > 0 && s->fault == s->step - 1)
                        r = -EIO;
                if (r < 0) {
                        sandbox_fail(s, r, step->name);
                        return;
                }
        }
        if (s->target < n_sandbox_steps) {
                s->state = SANDBOX_PARKED;
                (void) sd_event_source_set_enabled(s->timeout_source, SD_EVENT_OFF);
                hold(s, false);
                blank_parked(s);
                return;
        }
        (void) sd_event_source_set_enabled(s->timeout_source, SD_EVENT_OFF);
        hold(s, false);
        manager_reply_created(s);
}

/* An undo that has to wait (for the last process to die) is called again; it looks at the world, not at what it did
 * before. So a daemon that was killed here goes on where it stood by starting from the end. */
static void walk_back(Sandbox *s) {
        Manager *m = s->manager;

        for (; s->step > 0; s->step--) {
                const SandboxStep *step = sandbox_steps + s->step - 1;

                if (step->undo && step->undo(s) == 0)
                        return;
        }
        log_sandbox(LOG_DEBUG, s->record.id.digits, "Gone (%s).", end_reason_to_string(s->end_reason));
        manager_forget(m, s);
        sandbox_free(s);
        manager_ended(m);
}

static int on_walk(sd_event_source *source, void *userdata) {
        Sandbox *s = userdata;

        (void) source;
        if (s->state == SANDBOX_ENDING)
                walk_back(s);
        else
                walk_forward(s);
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Sandbox *s = userdata;

        (void) usec;
        if (s->state == SANDBOX_ENDING) {
                sandbox_wake(s);
                (void) sd_event_source_set_time_relative(source, RECHECK_USEC);
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                return 0;
        }
        sandbox_fail(s, -ETIMEDOUT, s->step > 0 ? sandbox_steps[s->step - 1].name : "start");
        return 0;
}

static int add_sources(Sandbox *s) {
        sd_event *event = service_event(s->manager->service);
        int r;

        r = sd_event_add_defer(event, &s->walk_source, on_walk, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->walk_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &s->timeout_source, CLOCK_MONOTONIC, MAKING_TIMEOUT_USEC,
                                               USEC_PER_SEC, on_timeout, s);
        return r;
}

int sandbox_new(Manager *m, const char *id, Sandbox **ret) {
        _cleanup_(sandbox_freep) Sandbox *s = NULL;
        int r;

        assert(sandbox_id_is_valid(id));

        s = new0(Sandbox, 1);
        if (!s)
                return -ENOMEM;
        *s = (Sandbox) {
                .manager = m,
                .target = n_sandbox_steps_parked,
                .fault = UINT_MAX,
                .listen_fd = -EBADF,
                .cgroup_fd = -EBADF,
                .foreign_fd = -EBADF,
                .record.deadline_usec = USEC_INFINITY,
                .record.slice = m->next_slice++ % MAX(m->settings.slices, 1U),
        };
        memcpy(s->record.id.digits, id, SANDBOX_ID_LENGTH + 1);
        sandbox_id_scope(id, s->scope);
        r = cgroup_scope_path(s->record.slice, s->scope, s->cgroup_path, sizeof s->cgroup_path);
        if (r < 0)
                return r;
        snprintf(s->socket_path, sizeof s->socket_path, "%s/%s.sock", m->state_path, id);

        s->commands = hashmap_new();
        if (!s->commands)
                return -ENOMEM;
        r = add_sources(s);
        if (r < 0)
                return r;
        take_fault(s);
        hold(s, true);
        *ret = TAKE_PTR(s);
        return 0;
}

Sandbox *sandbox_free(Sandbox *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->walk_source);
        sd_event_source_disable_unref(s->timeout_source);
        sd_event_source_disable_unref(s->child_source);
        sd_event_source_disable_unref(s->events_source);
        /* Freeing the connection answers what is under way, which looks at the state. */
        s->state = SANDBOX_ENDING; /* requests that are answered by this find nothing to go on with */
        s->init = init_client_free(s->init);
        systemd_request_free(s->request);
        commands_free(s);
        create_request_free(s->create);
        pause_done(s);
        for (size_t i = 0; i < s->n_kill_calls; i++)
                sd_bus_message_unref(s->kill_calls[i]);
        free(s->kill_calls);
        close_many(s->trees, s->n_trees);
        safe_close(s->listen_fd);
        safe_close(s->cgroup_fd);
        safe_close(s->foreign_fd);
        hold(s, false);
        sandbox_record_done(&s->record);
        free(s->error_text);
        free(s);
        return NULL;
}

void sandbox_wake(Sandbox *s) {
        (void) sd_event_source_set_enabled(s->walk_source, SD_EVENT_ONESHOT);
}

void sandbox_settled(Sandbox *s) {
        hold(s, false);
}

void sandbox_step_done(Sandbox *s, int error) {
        if (s->state == SANDBOX_ENDING)
                return;
        if (error >= 0 && s->fault == s->step - 1)
                error = -EIO;
        if (error < 0)
                sandbox_fail(s, error, sandbox_steps[s->step - 1].name);
        else
                sandbox_wake(s);
}

void sandbox_end(Sandbox *s, EndReason reason) {
        if (s->state == SANDBOX_ENDING)
                return;
        if (s->state == SANDBOX_RESTORING)
                manager_restored(s->manager);
        if (s->pooled)
                blank_lost(s);
        blank_unlend(s);
        s->state = SANDBOX_ENDING;
        s->end_reason = reason;
        /* The kernel holds notes of cgroup.events back for 10 ms after the one before, and drops them when the cgroup is
         * removed meanwhile: systemd does that at once, so the last note may never come. */
        (void) sd_event_source_set_time_relative(s->timeout_source, RECHECK_USEC);
        (void) sd_event_source_set_enabled(s->timeout_source, SD_EVENT_ONESHOT);
        hold(s, true);

        /* All die at once, before the first record of them is touched. */
        if (s->cgroup_fd >= 0)
                (void) cgroup_kill(s->cgroup_fd);
        sandbox_wake(s);
}

void sandbox_fail(Sandbox *s, int error, const char *what) {
        if (s->state == SANDBOX_ENDING)
                return;
        log_sandbox_errno(LOG_WARNING, error, s->record.id.digits, "Failed to make the sandbox at step '%s': %m", what);
        s->error = error;
        if (!s->error_text && asprintf(&s->error_text, "step '%s': %s", what, strerror(-error)) < 0)
                s->error_text = NULL;
        sandbox_end(s, END_FAILED);
}

void sandbox_create(Sandbox *s, CreateRequest *request) {
        SandboxRecord *record = &s->record;
        const Settings *settings = &s->manager->settings;
        SandboxSpec *spec = &request->spec;

        spec->memory_max_bytes = spec->memory_max_bytes ?: settings->default_memory_mib * MiB;
        spec->cpu_quota_usec = spec->cpu_quota_usec ?: (uint64_t) (settings->default_cpu * USEC_PER_SEC);
        spec->pids_max = spec->pids_max ?: settings->pids_max;
        spec->writable_bytes = spec->writable_bytes ?: settings->writable_bytes;
        spec->writable_inodes = spec->writable_inodes ?: settings->writable_inodes;

        record->label = TAKE_PTR(spec->label);
        record->deadline_usec = spec->deadline_usec;
        record->memory_max_bytes = spec->memory_max_bytes;
        record->pids_max = spec->pids_max;
        record->idmapped = true;
        s->created = true;
        blank_unlend(s);
        s->create = request;
        leave_parked(s);
}

/* The file first: it counts whatever happens to us before the timer is armed, the timer only says when to look. */
int sandbox_set_deadline(Sandbox *s, uint64_t deadline_usec) {
        DueEntry entry = { .deadline_usec = deadline_usec };
        int r;

        memcpy(entry.id, s->record.id.digits, sizeof entry.id);
        snprintf(entry.cgroup, sizeof entry.cgroup, "%s", s->cgroup_path);
        r = due_write(s->manager->due_fd, &entry);
        if (r < 0)
                return r;
        s->record.deadline_usec = deadline_usec;
        manager_arm_deadline(s->manager);
        return 0;
}
