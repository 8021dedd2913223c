/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

/* What a sandbox shall be, as sandboxd asks sandbox-execd: the dictionary of Create(). Zero means the default. */
typedef struct SandboxSpec {
        char *hostname;
        char *workdir;
        char *label;              /* opaque to execd, kept in its record and given back: image, dialect, name */
        uint64_t memory_max_bytes;
        uint64_t cpu_quota_usec;  /* a second; 1000000 is one processor */
        uint32_t pids_max;
        uint64_t writable_bytes, writable_inodes;
        uint64_t io_read_bps, io_write_bps;
        uint64_t deadline_usec;   /* CLOCK_BOOTTIME; USEC_INFINITY: none */
        bool network;
        char *source;             /* id of the sandbox whose files it begins with: those that it had when */
        uint32_t source_generation; /* Freeze() answered this */
} SandboxSpec;

#define SANDBOX_SPEC_DEFAULT ((SandboxSpec) { .deadline_usec = USEC_INFINITY })

/* Limits that may be changed on a live sandbox, the dictionary of SetLimits(). Zero means as it is. */
typedef struct SandboxLimits {
        uint64_t memory_max_bytes;
        uint64_t cpu_quota_usec;
        uint32_t pids_max;
        uint64_t io_read_bps, io_write_bps;
} SandboxLimits;

/* What to run: the dictionary of Exec(). */
typedef struct CommandSpec {
        char **argv, **env;
        char *cwd;
        uint32_t uid, gid;
        uint64_t timeout_usec;    /* USEC_INFINITY: none */
        uint32_t terminal_rows, terminal_columns; /* 0: no terminal; else its size, and init keeps its master */
} CommandSpec;

#define COMMAND_SPEC_DEFAULT ((CommandSpec) { .timeout_usec = USEC_INFINITY })

/* What a sandbox uses: the dictionary of Stats() and of each row of StatsMany(). source is "cgroup", or what stands in
 * for a missing controller: "cgroup-v1", "proc". */
typedef struct SandboxStats {
        uint64_t cpu_usec;
        uint64_t memory_current, memory_peak, memory_max;
        uint64_t pids_current, pids_max;
        uint64_t io_read_bytes, io_write_bytes;
        uint64_t oom_kills;
        /* Hundredths of a percent of the last ten seconds in which something waited for it; UINT64_MAX: not known. */
        uint64_t cpu_pressure, io_pressure, memory_pressure;
        const char *source;
} SandboxStats;

/* Bounds how long one StatsMany() keeps other callers waiting: some ten files are read for each. */
#define STATS_MANY_MAX 256U

extern const BusField sandbox_spec_fields[], sandbox_limits_fields[], command_spec_fields[], sandbox_stats_fields[];
extern const size_t n_sandbox_spec_fields, n_sandbox_limits_fields, n_command_spec_fields, n_sandbox_stats_fields;

void sandbox_spec_done(SandboxSpec *s);
void command_spec_done(CommandSpec *s);
