/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/command.h"

/* A command with a PTY for its stdio, for as long as it runs, whoever looks at it. Init holds the PTY's master; what the
 * terminal shows goes to a spool and is read from there by position, so that a reader that went away, or a daemon that
 * was killed, goes on where it was. Knows no HTTP: raw streams are put on it, and other channels may be. */

/* Who attaches, in letters of its own choice: tells the one that comes back from another one. */
#define TERMINAL_HOLDER_MAX 32U
#define TERMINAL_SIZE_MAX 65535U

typedef struct TerminalReader TerminalReader;
typedef struct TerminalSession TerminalSession;

/* error NULL: it is as was asked for. */
typedef void (*TerminalCallback)(Command *c, const sd_bus_error *error, void *userdata);

/* Who cannot go on before the master is here. */
typedef struct TerminalWaiter TerminalWaiter;
struct TerminalWaiter {
        TerminalWaiter *next;
        void (*wake)(void *userdata);
        void *userdata;
};

/* Of command.c: what belongs to a command of kind COMMAND_TERMINAL, and its master, which stays the command's. */
int terminal_new(Command *c, Terminal **ret);
Terminal *terminal_free(Terminal *t);
int terminal_take(Terminal *t, int master);
/* It was taken, or there is none to take. */
void terminal_settled(Terminal *t);

/* Starts spec, with its terminal_rows and terminal_columns; takes it over. callback comes exactly once after success:
 * it runs, or has ended already, or could not be started. */
/* *ret is borrowed. */
int terminal_open(Manager *m, Sandbox *s, CommandSpec *spec, const char *text, TerminalCallback callback,
                  void *userdata, Command **ret);
/* SIGHUP as from a line that is hung up, then SIGKILL to all that it started; then it is forgotten, with its output.
 * callback comes exactly once after success. -EALREADY: it is being closed. */
int terminal_close(Command *c, TerminalCallback callback, void *userdata);
/* It runs, but its master is still on its way to us: after a restart, for a moment. */
bool terminal_is_awaited(const Command *c);
/* Is woken once, unless it is taken back before. */
void terminal_wait(Command *c, TerminalWaiter *w);
/* (live) Is woken at its end instead. */
void terminal_wait_end(Command *c, TerminalWaiter *w);
void terminal_unwait(Command *c, TerminalWaiter *w);
/* Also of one that is awaited. -ENOTCONN: it has no master (any more). */
int terminal_resize(Command *c, uint32_t rows, uint32_t columns);
void terminal_get_size(const Command *c, uint32_t *ret_rows, uint32_t *ret_columns);
/* "" if nobody ever attached since we started. */
const char *terminal_get_holder(const Command *c);
bool terminal_is_attached(const Command *c);
unsigned terminals_live(Manager *m, const Sandbox *s);
/* See terminal-session.h; taken over, and NULL if it has none. */
void terminal_set_session(Command *c, TerminalSession *session);
TerminalSession *terminal_get_session(const Command *c);

/* One reader at a time: a new one takes over, and the earlier one's stream ends. With resume it takes over only what
 * nobody else has taken meanwhile: -EBUSY. A position that is no longer kept becomes the next one that is.
 * wake: there may be more to read. */
int terminal_attach(Command *c, const char *holder, bool resume, uint64_t position, void (*wake)(void *userdata),
                    void *userdata, TerminalReader **ret);
TerminalReader *terminal_reader_free(TerminalReader *r);
uint64_t terminal_reader_position(const TerminalReader *r);
/* Bytes; 0: wait for wake(); -ENODATA: the end, because the terminal ended, another reader took over, or what comes next
 * is no longer kept (then a new reader tells the position that is). */
ssize_t terminal_reader_read(TerminalReader *r, char *buffer, size_t size);

/* After -ENODATA: why. */
typedef enum TerminalEnd {
        TERMINAL_END_EXITED,
        TERMINAL_END_TAKEN,
        TERMINAL_END_GAP,       /* terminal_reader_skip() goes to what is kept */
} TerminalEnd;

TerminalEnd terminal_reader_end(const TerminalReader *r);
void terminal_reader_skip(TerminalReader *r);
