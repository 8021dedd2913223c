/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "libsandbox/macro.h"

/* The processes of the commands of a sandbox, as /proc shows them. Everything in them is the sandbox's own text. */
typedef struct Process {
        uint32_t pid, uid;        /* inside */
        char state;
        uint64_t cpu_usec, rss_bytes, vsz_bytes;
        char *command_line;       /* valid UTF-8 */
} Process;

typedef struct Processes {
        Process *entries;
        size_t n;
} Processes;

void processes_done(Processes *p);
/* base is the first id of the sandbox's range. */
int processes_read(int cgroup_fd, uint32_t base, Processes *ret);

/* The number that it has in the pid namespace that it lives in. */
int process_inner_pid(pid_t pid, uint32_t *ret);

/* Parsers: -EBADMSG. */
int process_parse_inner_pid(const char *text, uint32_t *ret);
int process_parse_status(const char *text, uint32_t base, Process *p);
int process_parse_stat(const char *text, uint64_t ticks_per_second, Process *p);
/* NUL-separated arguments to one line; an empty one is [name] of the status file's Name. */
char *process_format_command_line(const char *text, size_t size, const char *status);
