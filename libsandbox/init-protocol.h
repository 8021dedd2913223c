/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/* Messages between sandbox-execd and the init of a sandbox, over a SOCK_SEQPACKET socket that init listens on (bound on
 * the host before init's mount namespace was made, so that nobody inside can reach it). One message is one packet:
 * header, then the body of the operation. Both sides are of one machine, so the layout is the compiler's; all members
 * are naturally aligned and the sizes are asserted.
 *
 * On every accepted connection init first sends HELLO and then one COMMAND for each command it still knows: a new
 * execd learns everything from that. The newest connection replaces the old one. A newer execd must handle an older
 * init by hello.version; init never outlives its sandbox, so it need not handle an older execd.
 *
 * Only this header is shared with the freestanding init: no libc here. */

#define INIT_PROTOCOL_VERSION 2U /* 2: there is a vault */

#define INIT_MESSAGE_MAX 65536U  /* a whole packet */
#define INIT_COMMANDS_MAX 256U   /* live or not acknowledged */
#define INIT_STRINGS_MAX 4096U   /* argv and env entries of a command together */
#define INIT_LAYERS_MAX 16U
#define INIT_FROZEN_MAX 9U       /* what other sandboxes, or a snapshot, had written: below the upper */
#define INIT_FILTER_MAX 2048U    /* BPF instructions of both filters together */
#define INIT_COMMAND_ID_MAX 40U
#define INIT_KEEP_MAX 3U

/* Descriptors that init has at exec. */
#define INIT_FD_LISTEN 3
#define INIT_FD_PROC 4           /* a detached procfs mount of the new pid namespace */
/* From GO on: a second mount namespace, in which nobody lives. What the root is put together from stays attached there,
 * under the names that mountinfo shows as the overlay's options: "upper" and "<n>" (with u, w, u2, w2), "f/<n>", "l/<n>",
 * "usr", and "r/<n>": the same as f/<n>, but with the ids of the sandbox that wrote it. execd takes it by pidfd_getfd(). */
#define INIT_FD_VAULT 5

typedef enum InitOperation {
        /* execd -> init, answered by INIT_REPLY with the same sequence */
        INIT_GO = 1,             /* ids are mapped: become uid 0, leave the host's tree. No body. */
        INIT_ENTER_CGROUP,       /* make a cgroup namespace, while in the scope itself, then go where the fd, opened for
                                  * writing, leads: cgroup.procs of init/. No body. */
        INIT_ROOT,               /* InitRoot; fds: /dev template clone, then layers, then optional upper, usr, then
                                  * n_frozen and n_raw of what others have written */
        INIT_EXEC,               /* InitExec; fds: stdin, stdout, stderr, cgroup (O_PATH), then n_keep kept ones, and
                                  * first of all a memfd with the strings if INIT_EXEC_STRINGS_IN_FD */
        INIT_SIGNAL,             /* InitSignal */
        INIT_TAKE,               /* InitCommandName; the reply carries duplicates of the kept fds */
        INIT_PING,               /* no body */
        /* execd -> init, not answered */
        INIT_ACKNOWLEDGE,        /* InitCommandName: the status was stored, forget the command */
        /* init -> execd */
        INIT_REPLY = 100,        /* InitReply */
        INIT_HELLO,              /* InitHello */
        INIT_COMMAND,            /* InitCommand: at connect, and whenever a command ends */
} InitOperation;

typedef struct InitHeader {
        uint32_t operation;
        uint32_t sequence;       /* of the request; 0 in HELLO and COMMAND */
} InitHeader;

typedef enum InitPhase {
        INIT_PHASE_FRESH,        /* exec'ed, waits for GO */
        INIT_PHASE_PARKED,       /* in its own tree, no image yet */
        INIT_PHASE_LIVE,         /* root attached, filters loaded */
} InitPhase;

typedef struct InitHello {
        InitHeader header;
        uint32_t version;
        uint32_t phase;
        uint32_t n_commands;
        uint32_t padding;
} InitHello;

/* Steps of a failed EXEC that callers tell apart; every other step is a line of init's source for the log: 1000 times
 * the file's number plus the line. */
typedef enum InitStep {
        INIT_STEP_CWD = 1,       /* the working directory: missing, no directory, not accessible */
        INIT_STEP_COMMAND,       /* argv[0]: not found, or execve() refused it */
} InitStep;

/* What a failed request answers: error is a positive errno. A packet that is no well-formed request gets EBADMSG, one
 * in the wrong phase EPROTO. */
typedef struct InitReply {
        InitHeader header;
        int32_t error;           /* 0: done */
        int32_t step;            /* InitStep or line */
        int32_t pid;             /* INIT_EXEC: of the command, inside */
        uint32_t n_fds;          /* INIT_TAKE */
} InitReply;

typedef enum InitRootFlags {
        INIT_ROOT_UPPER = 1 << 0, /* an upper mount is passed (directories u, w and, with USR, u2, w2 below it);
                                   * else a tmpfs is made, of upper_bytes and upper_inodes */
        INIT_ROOT_USR = 1 << 1,   /* the last descriptor is a read-only layer for /usr, with an overlay of its own */
} InitRootFlags;

typedef struct InitRoot {
        InitHeader header;
        uint32_t flags;
        uint32_t n_layers;
        uint32_t n_frozen;                  /* directories with u and u2, topmost first, over the layers */
        uint32_t n_raw;                     /* of the first of them, not mapped: for those who are cloned from this one */
        uint64_t upper_bytes, upper_inodes; /* 0 (no limit) is refused, here and below */
        uint64_t tmp_bytes, tmp_inodes; /* /tmp and /run, each */
        uint64_t shm_bytes;
        uint64_t nproc_max, fsize_max;  /* rlimits of all commands */
        char hostname[64];
        char workdir[256];              /* made if missing, absolute */
        uint32_t n_allow;               /* instructions of the first filter; those of the second follow it */
        uint32_t n_args;
        /* struct sock_filter[n_allow + n_args] follows */
} InitRoot;

typedef enum InitExecFlags {
        INIT_EXEC_STRINGS_IN_FD = 1 << 0, /* length bytes of strings in the first descriptor, a sealed memfd */
        INIT_EXEC_PTY = 1 << 1,           /* stdin, stdout, stderr are /dev/null: init opens a PTY and keeps its master */
} InitExecFlags;

typedef struct InitExec {
        InitHeader header;
        char command[INIT_COMMAND_ID_MAX]; /* NUL-terminated, chosen by the caller, unique in the sandbox */
        uint32_t flags;
        uint32_t argc, envc;               /* argc >= 1 */
        uint32_t uid, gid;
        uint32_t n_keep;
        uint32_t rows, columns;            /* of the PTY */
        char cgroup[16];                   /* "exec-<n>", kept for InitCommand */
        uint64_t deadline_usec;            /* CLOCK_BOOTTIME; then the whole cgroup is killed; UINT64_MAX: none */
        uint32_t length;                   /* bytes of strings: cwd ("" is /), argv[], env[], each NUL-terminated.
                                            * argv[0] without a slash is looked up in PATH of env by init */
        uint32_t padding;
        /* the strings follow here, or stand in the descriptor */
} InitExec;

typedef enum InitSignalTarget {
        INIT_SIGNAL_MAIN,        /* the command's first process, if it lives */
        INIT_SIGNAL_GROUP,       /* its process group */
        INIT_SIGNAL_PROCESS,     /* any process of the sandbox but init, by pid inside */
} InitSignalTarget;

typedef struct InitSignal {
        InitHeader header;
        char command[INIT_COMMAND_ID_MAX];
        int32_t signal;
        uint32_t target;
        int32_t pid;
        uint32_t padding;
} InitSignal;

typedef struct InitCommandName {
        InitHeader header;
        char command[INIT_COMMAND_ID_MAX];
} InitCommandName;

typedef enum InitCommandState {
        INIT_COMMAND_RUNNING = 1,
        INIT_COMMAND_EXITED,     /* not acknowledged yet */
} InitCommandState;

typedef struct InitCommand {
        InitHeader header;
        char command[INIT_COMMAND_ID_MAX];
        uint32_t state;
        int32_t pid;
        int32_t code;            /* si_code of waitid(): CLD_EXITED, CLD_KILLED, CLD_DUMPED */
        int32_t status;          /* si_status */
        uint32_t timed_out;      /* init killed it at its deadline */
        uint32_t n_keep;
        uint64_t started_usec, ended_usec; /* CLOCK_BOOTTIME */
        uint64_t deadline_usec;
        char cgroup[16];         /* "exec-<n>", as execd named it */
} InitCommand;

_Static_assert(sizeof(InitHeader) == 8, "layout");
_Static_assert(sizeof(InitHello) == 24, "layout");
_Static_assert(sizeof(InitReply) == 24, "layout");
_Static_assert(sizeof(InitExec) == 112, "layout");
_Static_assert(sizeof(InitCommand) == 8 + 40 + 24 + 24 + 16, "layout");
