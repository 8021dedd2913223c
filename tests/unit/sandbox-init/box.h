/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libsandbox/init-protocol.h"

/* A sandbox around the real sandbox-init, made with the least that the protocol needs: what execd does, but no unit.
 * Below the test's own cgroup, and in a mount namespace of the test's own. Failures end the test. */

typedef struct Box {
        char directory[64];      /* temporary: socket, skeleton of the root, template of /dev */
        char cgroup[512];
        int cgroup_fd;
        pid_t pid;
        int pidfd;
        int socket;
        uint32_t sequence;
        unsigned n_exec;
        InitHello hello;
        InitCommand news[64];    /* ends of commands that were told while a reply was awaited */
        size_t n_news;
} Box;

typedef struct BoxExec {
        const char *command;
        const char *const *argv, *const *env; /* env NULL: only a PATH */
        const char *cwd;
        uint32_t uid, gid, flags;
        uint64_t deadline_usec;               /* 0: none */
        uint16_t rows, columns;
        int stdio[3];                         /* 0: /dev/null */
        int keep;                             /* 0: none */
        int strings_fd;                       /* with INIT_EXEC_STRINGS_IN_FD; 0: made and sealed here */
} BoxExec;

/* Ends the program with 77 if sandboxes cannot be made here. */
void box_require(void);

void box_fresh(Box *b);                  /* up to HELLO */
void box_parked(Box *b);                 /* up to INIT_ENTER_CGROUP */
void box_live(Box *b);
int box_root(Box *b);                    /* 0 or init's negative error; the layer is directory/skeleton */
void box_done(Box *b);

void box_connect(Box *b);                /* closes the old connection, receives HELLO */
void box_disconnect(Box *b);
void box_send(Box *b, void *message, size_t size, const int *fds, size_t n_fds);
/* One packet; fds (room for INIT_KEEP_MAX) may be NULL. Returns its size. */
size_t box_receive(Box *b, void *buffer, size_t size, int *fds);
InitReply box_call(Box *b, void *message, size_t size, const int *fds, size_t n_fds);
InitReply box_simple(Box *b, InitOperation operation);
InitReply box_name(Box *b, InitOperation operation, const char *command, int *fds);
InitReply box_exec(Box *b, const BoxExec *x);
InitCommand box_await(Box *b, const char *command); /* its next INIT_COMMAND with EXITED; acknowledges */
InitCommand box_await_unacknowledged(Box *b, const char *command);

/* Runs a shell script; its output, at most size - 1 bytes, ends in buffer. Returns the exit status. */
int box_shell(Box *b, const char *script, char *buffer, size_t size);
/* The open descriptors of init, counted from the host. */
size_t box_count_fds(const Box *b);
uint64_t box_now_usec(void);
