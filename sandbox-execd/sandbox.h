/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/hashmap.h"
#include "libsandbox/sandbox-spec.h"
#include "sandbox-execd/init-client.h"
#include "sandbox-execd/layer.h"
#include "sandbox-execd/state-file.h"
#include "sandbox-execd/systemd-client.h"
#include "sandbox-execd/vault.h"

/* One sandbox, from its first step to its last. It is made by walking the table of steps (sandbox-steps.h) forward and
 * ended by walking back from wherever it stands, so a failed create, a kill and the clean-up after a restart are one
 * path. Walking is always done from the event loop, never inside another object's callback. */

typedef struct Manager Manager;
typedef struct Sandbox Sandbox;

typedef enum SandboxState {
        SANDBOX_MAKING,    /* steps are under way */
        SANDBOX_PARKED,    /* a blank: all is there but the image */
        SANDBOX_RESTORING, /* of an earlier daemon: init has not told all its commands yet */
        SANDBOX_LIVE,
        SANDBOX_ENDING,
} SandboxState;

typedef enum EndReason {
        END_KILLED,
        END_EXPIRED,
        END_OOM,
        END_INIT_DIED,
        END_FAILED,        /* it never was live: no signal */
        _END_REASON_MAX,
} EndReason;

const char *end_reason_to_string(EndReason r);

/* What Create() asked for, until the sandbox is live. */
typedef struct CreateRequest {
        sd_bus_message *call;
        SandboxSpec spec;
        Layer layers[INIT_LAYERS_MAX + INIT_FROZEN_MAX + 2];
        size_t n_layers;
} CreateRequest;

CreateRequest *create_request_free(CreateRequest *q);
DEFINE_CLEANUP(CreateRequest *, create_request_free)
/* The mounts of a root, as sandbox-fsd passes them. */
int create_request_read_layers(sd_bus_message *message, Manager *m, CreateRequest *q, sd_bus_error *error);

struct Sandbox {
        Manager *manager;
        SandboxRecord record;
        SandboxState state;
        EndReason end_reason;
        bool paused;
        sd_bus_message *pause_call; /* until all are frozen (pause.h) */
        sd_event_source *pause_source;
        unsigned pause_tries;
        struct FreezeWait *freeze_wait; /* for file workers that are about to end */
        struct Replace *replace; /* it is being given another root (snapshot-bus.h) */
        struct Copy *flatten;    /* what it began with is being copied, which is in nobody's way */
        struct Copy *copy;       /* what it wrote is being copied: nothing may run meanwhile (copy.h) */
        unsigned fresh_generation; /* of the upper that nothing was written to when it looked like this (relayer.h) */
        VaultMark fresh_mark;
        bool created;            /* Create() was called: others know of it */
        bool pooled;             /* nobody reserved it yet (blank.h) */
        Sandbox *next_spare;
        bool held;               /* holds the service while on its way up or down */
        sd_bus *owner;           /* whose Reserve() it is until it is live; only compared */

        unsigned step, target;   /* steps begun, steps wanted */
        unsigned fault;          /* this step shall fail (tests); UINT_MAX: none */
        sd_event_source *walk_source, *timeout_source;

        char scope[64], cgroup_path[160], socket_path[96];
        int listen_fd, cgroup_fd, foreign_fd;
        pid_t pid;               /* of init, on the host */
        sd_event_source *child_source, *events_source;
        InitClient *init;
        unsigned commands_announced; /* of HELLO, not seen yet */
        SystemdRequest *request; /* the scope's job, then its limits */
        unsigned defaults;       /* of the manager, when its scope was asked for */
        bool limits_pending;
        bool mounting;           /* a process of ours is in its directories (volume-mount.h) */
        bool network;            /* its scope lets packets pass */
        int trees[INIT_LAYERS_MAX + 3 + 2 * INIT_FROZEN_MAX];
        size_t n_trees;
        size_t n_frozen, n_raw;  /* the last of them (INIT_ROOT) */

        CreateRequest *create;
        sd_bus_message **kill_calls;
        size_t n_kill_calls;
        int error;
        char *error_text;

        Hashmap *commands;
        unsigned next_exec;
        char spare_cgroup[16];   /* below run/: of an ended command, empty, for the next one; "": none */
        uint64_t oom_kills_seen; /* on hybrid systems, where it is told for the whole sandbox only */
};

int sandbox_new(Manager *m, const char *id, Sandbox **ret);
Sandbox *sandbox_free(Sandbox *s);
DEFINE_CLEANUP(Sandbox *, sandbox_free)

/* Goes on walking at the next turn of the loop. */
void sandbox_wake(Sandbox *s);
/* It lives by itself now: the daemon may leave. */
void sandbox_settled(Sandbox *s);
/* The step that waited is done, or failed. Ignored once the sandbox is ending. */
void sandbox_step_done(Sandbox *s, int error);
/* Ends it, whatever it is doing; more than one call is fine. */
void sandbox_end(Sandbox *s, EndReason reason);
/* Ends it and remembers what to answer to Create(). */
void sandbox_fail(Sandbox *s, int error, const char *what);

/* Takes the request over; it is answered when the sandbox is live, or all is undone. */
void sandbox_create(Sandbox *s, CreateRequest *request);
/* The deadline of a live one, also in its file and the timer. */
int sandbox_set_deadline(Sandbox *s, uint64_t deadline_usec);

/* Connects to init; HELLO and the commands come later. */
int sandbox_connect(Sandbox *s);
/* Finds the processes of a sandbox made by an earlier daemon and connects to its init. */
int sandbox_restore(Sandbox *s);
/* The user namespace that maps ids on disk into its own range. */
int sandbox_need_foreign(Sandbox *s);
/* Why init is gone, as far as it can be told. */
EndReason sandbox_death_reason(const Sandbox *s);
