/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/sandbox.h"

/* What a sandbox uses. On unified systems all of it is in its cgroup; where a controller is missing there, the v1 trees
 * stand in, then sums over its processes, and source says so. */
typedef struct SandboxStats {
        uint64_t cpu_usec;
        uint64_t memory_current, memory_peak, memory_max;
        uint64_t pids_current, pids_max;
        uint64_t io_read_bytes, io_write_bytes;
        uint64_t oom_kills;
        const char *source; /* "cgroup", "cgroup-v1", "proc" */
} SandboxStats;

int stats_read(const Sandbox *s, SandboxStats *ret);
uint64_t stats_oom_kills(const Sandbox *s);
