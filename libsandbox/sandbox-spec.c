/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/sandbox-spec.h"

/* What sandboxd and sandbox-execd tell each other about a sandbox, one table for both ends: they cannot disagree about
 * a name or a type. */

const BusField sandbox_spec_fields[] = {
        { "CpuQuotaUSec",   BUS_FIELD_U64,    offsetof(SandboxSpec, cpu_quota_usec)   },
        { "DeadlineUSec",   BUS_FIELD_U64,    offsetof(SandboxSpec, deadline_usec)    },
        { "Hostname",       BUS_FIELD_STRING, offsetof(SandboxSpec, hostname)         },
        { "IoReadBps",      BUS_FIELD_U64,    offsetof(SandboxSpec, io_read_bps)      },
        { "IoWriteBps",     BUS_FIELD_U64,    offsetof(SandboxSpec, io_write_bps)     },
        { "Label",          BUS_FIELD_STRING, offsetof(SandboxSpec, label)            },
        { "MemoryMax",      BUS_FIELD_U64,    offsetof(SandboxSpec, memory_max_bytes) },
        { "Network",        BUS_FIELD_BOOL,   offsetof(SandboxSpec, network)          },
        { "PidsMax",        BUS_FIELD_U32,    offsetof(SandboxSpec, pids_max)         },
        { "Source",         BUS_FIELD_STRING, offsetof(SandboxSpec, source)           },
        { "SourceGeneration", BUS_FIELD_U32,  offsetof(SandboxSpec, source_generation) },
        { "Workdir",        BUS_FIELD_STRING, offsetof(SandboxSpec, workdir)          },
        { "WritableBytes",  BUS_FIELD_U64,    offsetof(SandboxSpec, writable_bytes)   },
        { "WritableInodes", BUS_FIELD_U64,    offsetof(SandboxSpec, writable_inodes)  },
};
const size_t n_sandbox_spec_fields = ELEMENTSOF(sandbox_spec_fields);

const BusField sandbox_limits_fields[] = {
        { "CpuQuotaUSec", BUS_FIELD_U64, offsetof(SandboxLimits, cpu_quota_usec)   },
        { "IoReadBps",    BUS_FIELD_U64, offsetof(SandboxLimits, io_read_bps)      },
        { "IoWriteBps",   BUS_FIELD_U64, offsetof(SandboxLimits, io_write_bps)     },
        { "MemoryMax",    BUS_FIELD_U64, offsetof(SandboxLimits, memory_max_bytes) },
        { "PidsMax",      BUS_FIELD_U32, offsetof(SandboxLimits, pids_max)         },
};
const size_t n_sandbox_limits_fields = ELEMENTSOF(sandbox_limits_fields);

const BusField command_spec_fields[] = {
        { "Argv",            BUS_FIELD_STRV,   offsetof(CommandSpec, argv)             },
        { "Cwd",             BUS_FIELD_STRING, offsetof(CommandSpec, cwd)              },
        { "Env",             BUS_FIELD_STRV,   offsetof(CommandSpec, env)              },
        { "Gid",             BUS_FIELD_U32,    offsetof(CommandSpec, gid)              },
        { "TerminalColumns", BUS_FIELD_U32,    offsetof(CommandSpec, terminal_columns) },
        { "TerminalRows",    BUS_FIELD_U32,    offsetof(CommandSpec, terminal_rows)    },
        { "TimeoutUSec",     BUS_FIELD_U64,    offsetof(CommandSpec, timeout_usec)     },
        { "Uid",             BUS_FIELD_U32,    offsetof(CommandSpec, uid)              },
};
const size_t n_command_spec_fields = ELEMENTSOF(command_spec_fields);

const BusField sandbox_stats_fields[] = {
        { "CpuPressure",   BUS_FIELD_U64,    offsetof(SandboxStats, cpu_pressure)   },
        { "CpuUSec",       BUS_FIELD_U64,    offsetof(SandboxStats, cpu_usec)       },
        { "IoPressure",    BUS_FIELD_U64,    offsetof(SandboxStats, io_pressure)    },
        { "IoReadBytes",   BUS_FIELD_U64,    offsetof(SandboxStats, io_read_bytes)  },
        { "IoWriteBytes",  BUS_FIELD_U64,    offsetof(SandboxStats, io_write_bytes) },
        { "MemoryCurrent", BUS_FIELD_U64,    offsetof(SandboxStats, memory_current) },
        { "MemoryMax",     BUS_FIELD_U64,    offsetof(SandboxStats, memory_max)     },
        { "MemoryPeak",    BUS_FIELD_U64,    offsetof(SandboxStats, memory_peak)    },
        { "MemoryPressure", BUS_FIELD_U64,   offsetof(SandboxStats, memory_pressure) },
        { "OomKills",      BUS_FIELD_U64,    offsetof(SandboxStats, oom_kills)      },
        { "PidsCurrent",   BUS_FIELD_U64,    offsetof(SandboxStats, pids_current)   },
        { "PidsMax",       BUS_FIELD_U64,    offsetof(SandboxStats, pids_max)       },
        { "Source",        BUS_FIELD_STRING, offsetof(SandboxStats, source)         },
};
const size_t n_sandbox_stats_fields = ELEMENTSOF(sandbox_stats_fields);

void sandbox_spec_done(SandboxSpec *s) {
        bus_fields_done(sandbox_spec_fields, n_sandbox_spec_fields, s);
}

void command_spec_done(CommandSpec *s) {
        bus_fields_done(command_spec_fields, n_command_spec_fields, s);
}
