/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/due.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/manager.h"

/* What an earlier daemon left: its records, the scopes, and the inits that answer. Clients wait in the socket's queue
 * until all inits have told what they know, so that no list is ever half. */

#define RESTORE_TIMEOUT_USEC (5 * USEC_PER_SEC)

static void serve(Manager *m) {
        const int *fds;
        size_t n;
        int r;

        if (m->server)
                return;
        m->restore_timer = sd_event_source_disable_unref(m->restore_timer);
        r = service_get_sockets(m->service, "execd", &fds, &n);
        if (r >= 0)
                r = manager_serve(m, fds[0]);
        if (r < 0) {
                log_error_errno(r, "Failed to serve: %m");
                (void) sd_event_exit(service_event(m->service), 1);
                return;
        }
        manager_arm_deadline(m);
        manager_check_deadlines(m);
        blanks_replenish(m);
        service_release(m->service);
}

void manager_restored(Manager *m) {
        assert(m->n_restoring > 0);
        if (--m->n_restoring == 0)
                serve(m);
}

static int on_restore_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void) source;
        (void) usec;
        log_warning("%u inits did not answer in time.", m->n_restoring);
        serve(m);
        return 0;
}

static void take_deadline(Manager *m, Sandbox *s) {
        DueEntry entry;

        s->record.deadline_usec = due_read(m->due_fd, s->record.id.digits, &entry) >= 0 ? entry.deadline_usec
                                                                                        : USEC_INFINITY;
}

static int take_record(SandboxRecord *record, void *userdata) {
        Manager *m = userdata;
        Sandbox *s;
        int r;

        r = id_ranges_claim(m->ranges, record->base);
        if (r < 0) {
                sandbox_record_done(record);
                return r;
        }
        r = sandbox_new(m, record->id.digits, &s);
        if (r < 0)
                return r;
        s->record = *record;
        r = cgroup_scope_path(s->record.slice, s->scope, s->cgroup_path, sizeof s->cgroup_path);
        if (r >= 0)
                r = hashmap_put(m->sandboxes, s->record.id.digits, s);
        if (r < 0) {
                sandbox_free(s);
                return r;
        }

        s->created = s->record.live;
        /* Its maker had a pool, or was making the first of one: so have we. The blank itself is ended. */
        m->blanks.pool.used |= !s->record.live;
        take_deadline(m, s);
        m->n_restoring++;
        r = sandbox_restore(s);
        if (r < 0) {
                log_sandbox_errno(s->record.live ? LOG_NOTICE : LOG_DEBUG, r, s->record.id.digits,
                                  "Its init cannot be reached, clearing up: %m");
                sandbox_end(s, s->record.live ? sandbox_death_reason(s) : END_FAILED);
        } else if (!s->record.live)
                sandbox_end(s, END_FAILED); /* it was being made */
        return 0;
}

static bool scope_is_known(Manager *m, const char *digits) {
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (startswith(s->record.id.digits, digits))
                        return true;
        return false;
}

static void kill_orphan(Manager *m, const char *slice, const char *scope) {
        char path[PATH_MAX];
        _cleanup_close_ int fd = -EBADF;

        log_warning("Scope %s has no record, killing it.", scope);
        if ((size_t) snprintf(path, sizeof path, "/sandbox.slice/%s/%s", slice, scope) >= sizeof path)
                return;
        fd = cgroup_open(m->cgroups.root_fd, path);
        if (fd >= 0)
                (void) cgroup_kill(fd);
        leftovers_add(m->leftovers, path); /* it may be empty, or systemd's no more */
}

typedef void (*DirectoryHandler)(Manager *m, int parent_fd, const char *parent, const char *name);

static void for_each_directory(Manager *m, int parent_fd, const char *name, DirectoryHandler handler) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *entry;

        if (directory_open_at(parent_fd, name, &d) < 0)
                return;
        while ((entry = readdir(d)))
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        handler(m, dirfd(d), name, entry->d_name);
}

static void check_scope(Manager *m, int slice_fd, const char *slice, const char *name) {
        char digits[SANDBOX_ID_SHORT + 1];

        (void) slice_fd;
        if (sandbox_id_from_scope(name, digits) >= 0 && !scope_is_known(m, digits))
                kill_orphan(m, slice, name);
}

static void check_slice(Manager *m, int parent_fd, const char *parent, const char *name) {
        (void) parent;
        if (startswith(name, "sandbox-") && endswith(name, ".slice"))
                for_each_directory(m, parent_fd, name, check_scope);
}

static int check_due(const DueEntry *entry, void *userdata) {
        Manager *m = userdata;

        if (!manager_get(m, entry->id))
                (void) due_remove(m->due_fd, entry->id);
        return 0;
}

int manager_restore(Manager *m) {
        int r;

        service_hold(m->service);
        r = sd_event_add_time_relative(service_event(m->service), &m->restore_timer, CLOCK_MONOTONIC,
                                       RESTORE_TIMEOUT_USEC, 0, on_restore_timeout, m);
        if (r < 0)
                return log_error_errno(r, "Failed to set up a timer: %m");

        m->n_restoring = 1; /* this function itself */
        r = state_files_load(m->state_fd, take_record, m);
        if (r < 0)
                return log_error_errno(r, "Failed to read the records: %m");
        for_each_directory(m, m->cgroups.root_fd, "sandbox.slice", check_slice);
        (void) due_foreach(m->due_fd, check_due, m, NULL);
        manager_restored(m);
        return 0;
}
