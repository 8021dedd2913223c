/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-init/command.h"

#include <linux/errno.h>

/* The state machine of the table in command.h. Who is told what is decided here by three flags, and sent elsewhere when
 * the socket takes it: "asked" says that the connection which sent EXEC is the present one, "reply_due" that its answer
 * is to be sent, "notice_due" that an INIT_COMMAND is. So a daemon that takes the place of another one hears of every
 * command, whatever moment that was. */

static bool names_equal(const char *a, const char *b) {
        for (size_t i = 0; i < INIT_COMMAND_ID_MAX; i++) {
                if (a[i] != b[i])
                        return false;
                if (a[i] == 0)
                        return true;
        }
        return true;
}

/* Filled with zeros to the end: these fields go into packets whole, and what was in memory before is nobody's business. */
static void copy_field(char *to, const char *from, size_t size) {
        size_t i = 0;

        for (; i < size - 1 && from[i]; i++)
                to[i] = from[i];
        for (; i < size; i++)
                to[i] = 0;
}

Command *command_table_find(CommandTable *t, const char *name) {
        COMMAND_FOREACH(c, t)
                if (c->state != COMMAND_FREE && names_equal(c->name, name))
                        return c;
        return NULL;
}

bool command_is_live(const Command *c) {
        return c->state == COMMAND_STARTING || c->state == COMMAND_RUNNING;
}

Command *command_table_find_pid(CommandTable *t, int pid) {
        COMMAND_FOREACH(c, t)
                if (command_is_live(c) && c->pid == pid)
                        return c;
        return NULL;
}

/* The lowest free row, so that the used ones stay together at the start and the pages behind them are never touched. */
static Command *find_free(CommandTable *t) {
        COMMAND_FOREACH(c, t)
                if (c->state == COMMAND_FREE)
                        return c;
        return t->n_used < INIT_COMMANDS_MAX ? &t->rows[t->n_used++] : NULL;
}

int command_table_add(CommandTable *t, const InitExec *request, uint64_t now_usec, Command **ret) {
        Command *c;

        if (command_table_find(t, request->command))
                return -EEXIST;

        c = find_free(t);
        if (!c)
                return -EAGAIN;

        *c = (Command) {
                .state = COMMAND_STARTING,
                .asked = true,
                .sequence = request->header.sequence,
                .start_fd = -EBADF,
                .cgroup_fd = -EBADF,
                .keep = { -EBADF, -EBADF, -EBADF },
                .started_usec = now_usec,
                .deadline_usec = request->deadline_usec,
        };
        copy_field(c->name, request->command, sizeof(c->name));
        copy_field(c->cgroup, request->cgroup, sizeof(c->cgroup));
        *ret = c;
        return 0;
}

void command_free(CommandTable *t, Command *c) {
        c->state = COMMAND_FREE;
        while (t->n_used > 0 && t->rows[t->n_used - 1].state == COMMAND_FREE)
                t->n_used--;
}

uint64_t command_table_next_deadline(const CommandTable *t) {
        uint64_t earliest = UINT64_MAX;

        for (size_t i = 0; i < t->n_used; i++) {
                const Command *c = &t->rows[i];

                if (c->state != COMMAND_FREE && !c->deadline_done && c->deadline_usec < earliest)
                        earliest = c->deadline_usec;
        }
        return earliest;
}

static size_t command_table_count(const CommandTable *t, CommandState state) {
        size_t n = 0;

        for (size_t i = 0; i < t->n_used; i++)
                n += t->rows[i].state == state;
        return n;
}

size_t command_table_count_told(const CommandTable *t) {
        return command_table_count(t, COMMAND_RUNNING) + command_table_count(t, COMMAND_EXITED);
}

void command_table_reconnected(CommandTable *t) {
        /* Backwards: command_free() may lower n_used. */
        for (size_t i = t->n_used; i > 0; i--) {
                Command *c = &t->rows[i - 1];

                c->reply_due = false;
                c->asked = false;
                c->notice_due = c->state == COMMAND_RUNNING || c->state == COMMAND_EXITED;
                if (c->state == COMMAND_FAILED)
                        command_free(t, c);
        }
}

/* Also true after the exit of the main process: what it left behind in its cgroup has no longer to live either. */
bool command_is_due(const Command *c, uint64_t now_usec) {
        return c->state != COMMAND_FREE && !c->deadline_done && c->deadline_usec <= now_usec;
}

void command_started(Command *c) {
        c->state = COMMAND_RUNNING;

        /* Whoever asked was replaced meanwhile: its successor has not heard of this one. */
        if (c->asked)
                c->reply_due = true;
        else
                c->notice_due = true;
}

/* A child that ends before its exec never was a command: the reply to EXEC says why, and there is nothing to
 * acknowledge. */
void command_ended(Command *c, int code, int status, uint64_t now_usec) {
        if (c->state == COMMAND_STARTING) {
                c->state = COMMAND_FAILED;
                c->reply_due = c->asked;
                return;
        }

        c->state = COMMAND_EXITED;
        c->code = code;
        c->status = status;
        c->ended_usec = now_usec;
        c->notice_due = true;
}

void command_describe(const Command *c, InitCommand *ret) {
        *ret = (InitCommand) {
                .header.operation = INIT_COMMAND,
                .state = c->state == COMMAND_EXITED ? INIT_COMMAND_EXITED : INIT_COMMAND_RUNNING,
                .pid = c->pid,
                .code = c->code,
                .status = c->status,
                .timed_out = c->timed_out,
                .n_keep = c->n_keep,
                .started_usec = c->started_usec,
                .ended_usec = c->ended_usec,
                .deadline_usec = c->deadline_usec,
        };
        copy_field(ret->command, c->name, sizeof(ret->command));
        copy_field(ret->cgroup, c->cgroup, sizeof(ret->cgroup));
}
