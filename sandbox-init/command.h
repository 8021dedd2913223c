/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsandbox/init-protocol.h"

/* What init knows of the commands. The table only keeps the books: no system call and no libc here, so that the same
 * source runs in the unit tests. Callers close a row's descriptors before it is free or failed.
 *
 *      FREE -> STARTING -> RUNNING -> EXITED -> FREE    by ACKNOWLEDGE
 *                    \---> FAILED -> FREE               by the reply to EXEC, which says it all
 */

typedef enum CommandState {
        COMMAND_FREE,
        COMMAND_STARTING, /* between clone and exec */
        COMMAND_FAILED,   /* never came to its exec, and is reaped */
        COMMAND_RUNNING,
        COMMAND_EXITED,   /* not acknowledged yet */
} CommandState;

typedef struct Command {
        CommandState state;
        bool asked;                 /* the connection that sent EXEC is still there */
        bool reply_due, notice_due; /* of EXEC, and INIT_COMMAND: not sent yet */
        bool timed_out;
        bool deadline_done;
        char name[INIT_COMMAND_ID_MAX];
        char cgroup[16];
        uint32_t sequence;          /* of EXEC */
        int pid;
        int code, status;
        int error, step;            /* of the failed start, positive errno */
        int start_fd;               /* end of file when the exec is done, else an ExecFailure */
        int cgroup_fd;
        uint32_t n_keep;
        int keep[INIT_KEEP_MAX];
        uint64_t started_usec, ended_usec, deadline_usec;
} Command;

typedef struct CommandTable {
        size_t n_used;              /* rows beyond were never touched: pages that do not exist */
        Command rows[INIT_COMMANDS_MAX];
} CommandTable;

#define COMMAND_FOREACH(c, table) for (Command *c = (table)->rows; c < (table)->rows + (table)->n_used; c++)

/* A row for what EXEC asks for, in state STARTING, all descriptors unset: -EEXIST, or -EAGAIN if there is no room. */
int command_table_add(CommandTable *t, const InitExec *request, uint64_t now_usec, Command **ret);
Command *command_table_find(CommandTable *t, const char *name);
Command *command_table_find_pid(CommandTable *t, int pid);
uint64_t command_table_next_deadline(const CommandTable *t);
/* How many INIT_COMMAND a new connection is told. */
size_t command_table_count_told(const CommandTable *t);
/* The one who asked is gone, another one wants to know all. */
void command_table_reconnected(CommandTable *t);

bool command_is_live(const Command *c); /* not reaped: its pid is its own */
bool command_is_due(const Command *c, uint64_t now_usec);
void command_started(Command *c);
/* Reaped, before or after the exec. */
void command_ended(Command *c, int code, int status, uint64_t now_usec);
void command_describe(const Command *c, InitCommand *ret);
void command_free(CommandTable *t, Command *c);
