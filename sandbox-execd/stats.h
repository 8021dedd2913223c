/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/sandbox-spec.h"
#include "sandbox-execd/sandbox.h"

/* On unified systems all of it is in the sandbox's cgroup; where a controller is missing there, the v1 trees stand in,
 * then sums over its processes, and source says so (it is static text). */
int stats_read(const Sandbox *s, SandboxStats *ret);
uint64_t stats_oom_kills(const Sandbox *s);
