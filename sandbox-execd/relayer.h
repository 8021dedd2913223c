/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/sandbox.h"

/* What a sandbox has written, as a layer of others: shared where it lies, as long as nobody writes to it any more. */

typedef enum FreezeResult {
        FREEZE_DONE,      /* others can be made on what is below that generation (relayer_add_shared()) */
        FREEZE_ON_DISK,   /* relayer_share() can do it */
        FREEZE_UNTOUCHED, /* and has nothing to do: nothing was written since it did it last */
} FreezeResult;

typedef struct FreezeAnswer {
        FreezeResult result;
        unsigned generation;
        unsigned n_written, n_frozen; /* what a clone stands on: of the source itself, and of what that began with */
} FreezeAnswer;

/* Makes what it has written so far immutable, and gives it a fresh upper over that: nothing is copied. -EBUSY: something
 * runs in it, and so may write; -E2BIG: too many layers already; -EOPNOTSUPP: its writable layer cannot be shared. */
int relayer_freeze(Sandbox *s, FreezeAnswer *ret);

/* The same where the upper lies in the store: the first of the frozen layers given is that upper, and the next one is
 * given, too. 0: it was done before. -ESTALE: it is another one. */
int relayer_share(Sandbox *s, const Layer *layers, size_t n_layers);

/* The mounts of what the source had written before that generation, for the sandbox: mapped ones, topmost first, and as
 * many that are not mapped. */
int relayer_add_shared(Sandbox *s, const Sandbox *source, unsigned generation, int *frozen, int *raw, size_t *ret_n);

/* Another root of the layers given, with an empty upper. Nothing may run in it: -EBUSY. */
int relayer_replace(Sandbox *s, const Layer *layers, size_t n_layers);

/* The same but for file workers. */
bool sandbox_has_no_command(Sandbox *s);
/* No command, nothing that one left behind, and no file worker. */
bool sandbox_is_idle(Sandbox *s);
