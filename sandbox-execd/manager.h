/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"
#include "libsandbox/hashmap.h"
#include "libsandbox/settings.h"
#include "sandbox-execd/blank.h"
#include "sandbox-execd/cgroup-mounts.h"
#include "sandbox-execd/deadline.h"
#include "sandbox-execd/id-range.h"
#include "sandbox-execd/sandbox.h"
#include "sandbox-execd/scope-leftover.h"
#include "sandbox-execd/seccomp-policy.h"
#include "sandbox-execd/systemd-client.h"
#include "sandbox-execd/tree.h"

/* The one owner of all state of the daemon. */
struct Manager {
        Service *service;
        Settings settings;
        BusServer *server;
        SystemdClient *systemd;
        Hashmap *sandboxes;
        IdRanges *ranges;
        SeccompPolicy seccomp;
        Trees trees;
        CgroupMounts cgroups;
        Deadlines *deadlines;
        Leftovers *leftovers;
        uint64_t wake_usec; /* sandboxd wants to be started; may be earlier than what its file says */
        int state_fd, due_fd, dev_fd;
        const char *state_path;
        uid_t sandboxd_uid, fsd_uid;
        uid_t uids[2]; /* the same as far as they exist, for the server */
        unsigned next_slice;
        uint32_t next_project;
        int tmpfs_is_mappable; /* by ids: 1 yes, -1 no, 0 not known */
        unsigned n_restoring;
        sd_event_source *restore_timer;
        Blanks blanks;
        unsigned defaults; /* counts reloads: a blank has the limits of the settings that it was made under */
};

/* Directories, users, filters, mounts: all that needs no sandbox yet. */
int manager_new(Service *service, Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager *, manager_free)

/* Takes over what an earlier daemon left. Connections are served as soon as every init has told its commands. */
int manager_restore(Manager *m);
/* A sandbox is restored, or gone: serve when it was the last. */
void manager_restored(Manager *m);

Sandbox *manager_get(Manager *m, const char *id);
/* The sandbox is gone: off the table. */
void manager_forget(Manager *m, Sandbox *s);
/* It is freed, too. */
void manager_ended(Manager *m);
/* Ends those whose deadline has passed, should the timer's program not have done so. */
void manager_check_deadlines(Manager *m);
/* Tells the timer the earliest deadline of all. */
void manager_arm_deadline(Manager *m);
/* When to start sandboxd, should it not run. */
int manager_set_wake(Manager *m, uint64_t usec);
/* on_idle of the service: > 0 while blanks are being given back. */
int manager_drain(void *userdata);
/* How long the service stays without work, as the settings say. */
void manager_set_idle(Manager *m);
/* on_reload of the service. */
int manager_reload(void *userdata);

/* Of manager-bus.c. */
extern const sd_bus_vtable manager_vtable[];
int manager_serve(Manager *m, int listen_fd);
void manager_emit_gone(Manager *m, const Sandbox *s);
void manager_reply_created(Sandbox *s);
void manager_reply_ended(Sandbox *s);
/* Answers who waits for its end, as soon as all of its processes have ended. */
void manager_reply_killed(Sandbox *s);
