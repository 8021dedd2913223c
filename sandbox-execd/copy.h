/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/sandbox.h"

/* All that a sandbox has written over its image, as one layer in a directory of the store. Its commands and file workers
 * stand still meanwhile; whoever asks is told nothing of that, and a pause that clients ask for is kept apart. */

typedef struct CopyOptions {
        int directory_fd;       /* of the store */
        uint64_t bytes_max;
        bool flatten;           /* only what the sandbox began with, while it goes on */
} CopyOptions;

/* Answers the call when it is done. -EBUSY: one is under way; -EOPNOTSUPP: there is nothing to flatten. */
int copy_start(Sandbox *s, const CopyOptions *options, sd_bus_message *call);
/* The sandbox ends: whoever waits is told so. */
void copy_done(Sandbox *s);
/* Of an earlier daemon: nothing stays frozen. */
void copy_undo(Sandbox *s);
/* s->paused has changed. */
void copy_note_pause(Sandbox *s);
/* StartFileWorker() has to wait: a process that is born into a frozen cgroup does not get to its exec, which the daemon
 * waits for. */
int copy_defer(Sandbox *s, sd_bus_message *call);
