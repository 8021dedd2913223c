/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/sandbox-spec.h"
#include "sandboxd/execd-client.h"
#include "sandboxd/output-times.h"
#include "sandboxd/sandbox.h"
#include "sandboxd/spool.h"

/* A command that runs in a sandbox: its pipes, its output, its status. Its parent is the sandbox's init, which also
 * holds the read ends of the pipes: when we die nothing is lost but what only our client wanted. */

typedef struct Manager Manager;
typedef struct Command Command;
typedef struct Adoption Adoption;
typedef struct Terminal Terminal;

typedef enum CommandKind {
        COMMAND_EXEC,           /* somebody waits for its end */
        COMMAND_STREAM,         /* somebody reads along */
        COMMAND_BACKGROUND,     /* remembered, both streams in one spool */
        COMMAND_TERMINAL,       /* remembered, too; its stdio is a PTY, see terminal.h */
        COMMAND_JOB,            /* an attempt of a queued job: that remembers it, see queue.h */
        COMMAND_KERNEL,         /* remembered, too; its stdin is a socket that both sides talk over, see context.h */
        COMMAND_STRANGER,       /* found at execd after a restart: let it finish */
        _COMMAND_KIND_MAX,
} CommandKind;

/* What clients are told of one that the kernel ended because the sandbox had used its memory up. */
#define COMMAND_OOM_TEXT "Out of memory: the memory limit of the sandbox was reached"

typedef enum CommandState {
        COMMAND_STARTING,
        COMMAND_RUNNING,
        COMMAND_EXITED,
        COMMAND_LOST,           /* its sandbox ended; there is no status and none is made up */
} CommandState;

/* The command may be dropped after on_failed() and on_finished(). */
typedef struct CommandHandlers {
        void (*on_started)(Command *c, void *userdata);
        void (*on_failed)(Command *c, const sd_bus_error *error, void *userdata);
        /* data is NULL for a terminal: it is in the spool already. */
        void (*on_output)(Command *c, bool is_stderr, const char *data, size_t n, void *userdata);
        void (*on_finished)(Command *c, void *userdata);
        /* (kernel) Taken over from an earlier process: its pipes and its socket are here. */
        void (*on_attached)(Command *c, void *userdata);
} CommandHandlers;

typedef struct CommandOutput {
        Command *command;
        int fd;
        sd_event_source *source;
        Spool *spool;           /* NULL: on_output() only */
        bool is_stderr;
} CommandOutput;

struct Command {
        unsigned n_ref;
        Manager *manager;
        Sandbox *sandbox;
        char id[40];
        char *text;             /* as the client wrote it */
        CommandKind kind;
        CommandState state;
        uint32_t pid;
        int code, status;
        bool timed_out, oom, repeated;
        bool interrupted;       /* execd went away before it told whether it runs */
        bool killed;            /* by command_kill(): asked again until it is so */
        bool attended;          /* by this process; false: of an earlier one, not taken over yet */
        bool seen;              /* mark of a reconciliation */
        bool taken;             /* (terminal, foreign) its master or pipes are here, or init did not have them */
        bool foreign;           /* (job) perhaps an earlier call started it, with pipes that only init has */
        bool unrecorded;        /* set by on_finished(): its status must not be acknowledged yet */
        bool forgotten;         /* (terminal, kernel) closed: what it left is ended, and nothing is remembered */
        uint64_t started_msec, finished_msec;   /* wall clock */
        uint64_t started_usec, ended_usec;      /* CLOCK_BOOTTIME */
        uint64_t timeout_usec;

        Adoption *adoption;     /* its pipes are on their way to us */
        Terminal *terminal;
        CommandOutput outputs[2];
        OutputTimes times;      /* (background) */
        int stdin_fd;
        char *stdin_data;
        size_t stdin_length, stdin_done;
        sd_event_source *stdin_source;
        bool stdin_taken;       /* by an upload, which is told when the pipe is closed under its hands */
        void (*on_input_closed)(void *userdata);
        void *on_input_closed_userdata;

        CommandSpec spec;       /* until it has started: a broken connection may make us ask again */
        int child_fds[3];

        const CommandHandlers *handlers;
        void *userdata;
};

typedef struct CommandInput {
        const char *data;       /* NULL: none */
        bool pipe;              /* data follows by command_write_input() */
} CommandInput;

int command_new(Manager *m, Sandbox *s, CommandKind kind, const char *text, Command **ret);
Command *command_ref(Command *c);
Command *command_unref(Command *c);
DEFINE_CLEANUP(Command *, command_unref)

/* Takes spec over. After success exactly one of on_failed() and on_finished() comes, unless the handlers are taken
 * back. handlers may be NULL. */
int command_start(Command *c, CommandSpec *spec, const CommandInput *input, const CommandHandlers *handlers,
                  void *userdata);
/* Nobody wants to know any more. */
void command_set_handlers(Command *c, const CommandHandlers *handlers, void *userdata);
/* Takes over a command that execd knows and whose pipes nobody reads. */
int command_adopt(Command *c, const CommandStatus *status);
/* (job) A spool each for what it writes to stdout and stderr; called before command_adopt() or by command_start(). */
int command_open_spools(Command *c);

bool command_is_live(const Command *c);
/* In the database, with a named spool. */
bool command_is_kept(const Command *c);
/* Status or 128 + signal; -1 while there is none. */
int command_exit_code(const Command *c);
uint64_t command_duration_msec(const Command *c);
/* SIGKILL to everything it has started. */
void command_kill(Command *c);

/* From execd. */
void command_on_status(Command *c, const CommandStatus *status);
/* execd does not know it (any more). */
void command_on_unknown(Command *c);
/* (job, of an earlier process) execd does not know it either: on_failed(). */
void command_on_missing(Command *c);
void command_on_sandbox_gone(Command *c);

/* Reads what its pipes hold at this moment. */
void command_drain(Command *c);
/* Back pressure: stop and go on reading. */
void command_set_reading(Command *c, bool reading);
/* Bytes taken, 0: full, -EPIPE: nobody reads it. A terminal's is there while it lives. */
ssize_t command_write_input(Command *c, const char *data, size_t n);
void command_close_input(Command *c);

/* (kept) What the database keeps. */
int command_save(const Command *c);
/* Of one that an earlier process began. */
int command_find_output(Command *c);
int command_from_record(Manager *m, const StoredCommand *row, Command **ret);
