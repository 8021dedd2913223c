/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/init-protocol.h"
#include "sandbox-init/command.h"
#include "sandbox-init/request.h"

/* A packet as it came. Handlers take the descriptors that they keep out of fds, the others are closed behind them. */
typedef struct Request {
        size_t size;
        size_t n_fds;
        int fds[REQUEST_FDS_MAX];
        union {
                InitHeader header;
                InitRoot root;
                InitExec exec;
                InitSignal signal;
                InitCommandName name;
                uint64_t alignment;
                char bytes[INIT_MESSAGE_MAX];
        };
} Request;

/* A tmpfs made while parked and given its size when the root is attached: the context stays open for that. */
typedef struct SizedMount {
        int context, mount;
} SizedMount;

typedef struct Parked {
        int proc;                    /* attached to the parked tree, with its masks */
        int pts;
        SizedMount shm, tmp, run;
} Parked;

struct clone_args;

typedef struct Init {
        InitPhase phase;
        bool broken;                 /* GO or ROOT failed half-way: nothing will ever run here */
        int connection;
        int signal_fd, timer_fd;
        bool reap_due;               /* there may be more to reap without another SIGCHLD */
        bool hello_due;
        bool reply_due;              /* to a request other than EXEC; until it is sent no request is read */
        InitReply reply;
        const Command *reply_fds;    /* whose kept descriptors go with it */
        uint64_t timer_usec;         /* what timer_fd is set to */
        Parked parked;
        CommandTable commands;
        Request request;
} Init;

/* park.c: GO and ENTER_CGROUP */
int init_park(Init *i);
int init_enter_cgroup(Init *i);
/* root.c: ROOT */
int init_attach_root(Init *i);
/* lockdown.c: takes from init what commands must not inherit */
int init_lock_down(const InitRoot *m);
int init_load_filters(InitRoot *m);
long init_clone3(struct clone_args *args);
/* start.c: EXEC, and what became of it */
#define STARTING_MAX 16U
int init_start_command(Init *i);
void init_settle_command(Init *i, Command *c);
void init_reap(Init *i);
void init_enforce_deadlines(Init *i);
void init_forget_command(Init *i, Command *c);
/* connection.c */
void init_accept(Init *i);
int init_receive(Init *i); /* 1: a packet, 0: not now, negative: the connection is gone */
void init_flush(Init *i);
void init_disconnect(Init *i);
/* operations.c: does what the received packet asks for */
void init_dispatch(Init *i);
