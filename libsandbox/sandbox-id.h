/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-id128.h>

#include "libsandbox/macro.h"

/* One random 128-bit id a sandbox, made by sandbox-execd, written as 32 lower-case hex digits between our programs.
 * Digits 20..23 are the node's. Its forms outside:
 *   "sbx_" + digits 0..23      /sandbox and functions; digits 0..23 also name the scope: sandbox-<24 digits>.scope
 *   8-4-4-4-12 UUID            all digits
 *   64 hex digits              sha256 of the 32 digits (that dialect's own module computes it) */
#define SANDBOX_ID_LENGTH 32U
#define SANDBOX_ID_SHORT 24U
#define SANDBOX_ID_PREFIX "sbx_"
#define SANDBOX_SCOPE_PREFIX "sandbox-"

typedef struct SandboxId {
        char digits[SANDBOX_ID_LENGTH + 1];
} SandboxId;

int sandbox_id_random(SandboxId *ret);
bool sandbox_id_is_valid(const char *digits);
/* First 24 digits of a full id, NUL-terminated. */
void sandbox_id_short(const char *id, char ret[SANDBOX_ID_SHORT + 1]);
/* "sandbox-<24 digits>.scope" */
void sandbox_id_scope(const char *id, char ret[64]);
/* The 24 digits of a scope's name into ret; -EINVAL when the unit is none of ours. */
int sandbox_id_from_scope(const char *unit, char ret[SANDBOX_ID_SHORT + 1]);
/* "<prefix>_" + 24 random hex digits: the id form of commands, jobs, snapshots... */
int object_id_random(const char *prefix, char ret[40]);
bool object_id_is_valid(const char *id, const char *prefix);
