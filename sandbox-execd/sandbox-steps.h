/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/settings.h"
#include "sandbox-execd/sandbox.h"

/* The way up, and back. */
typedef struct SandboxStep {
        const char *name;
        /* > 0: done. 0: sandbox_step_done() will be called. < 0: failed; what it began is undone by undo. */
        int (*apply)(Sandbox *s);
        /* > 0: undone, also if there was nothing to undo. 0: called again after sandbox_wake(). NULL: nothing to do. */
        int (*undo)(Sandbox *s);
} SandboxStep;

extern const SandboxStep sandbox_steps[];
extern const unsigned n_sandbox_steps;
/* A blank sandbox stops here. */
extern const unsigned n_sandbox_steps_parked;

/* Index by name or number; UINT_MAX when there is none. */
unsigned sandbox_step_find(const char *name);

/* Properties of the scope, for SystemdRequestOptions. */
int scope_append_properties(sd_bus_message *m, void *userdata);
typedef struct ScopeLimits {
        uint64_t memory_max_bytes, cpu_quota_usec, pids_max, io_read_bps, io_write_bps;
} ScopeLimits;
int scope_append_limits(sd_bus_message *m, const ScopeLimits *l);
/* Takes back that a blank's addresses are limited to the loopback. */
int scope_append_network(sd_bus_message *m, const Settings *settings);
