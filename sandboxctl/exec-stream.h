/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"

typedef struct ExecRequest {
        const char *sandbox;     /* id */
        char *const *argv;
        const char *cwd;         /* NULL: the sandbox's own */
        const char *user;        /* NULL: root of the sandbox */
        char *const *env;
        uint64_t timeout_sec;    /* UINT64_MAX: the server's default */
        bool stdin;              /* pass ours on */
        bool lossless;           /* we are read slowly: the command waits instead of losing output */
} ExecRequest;

/* The body of exec, exec/stream and exec/background; NULL and the line on stderr on failure. */
json_t *exec_request_to_json(const Ctl *c, const ExecRequest *request);

/* Runs it and passes input, output and signals through until it ends. Returns what the program shall end with: the
 * command's status, or EXIT_STATUS_OWN and friends. exec_block_signals() comes first, early enough that an interrupt
 * does not leave behind what the caller made for the command. */
int exec_stream(Ctl *c, const ExecRequest *request);
void exec_block_signals(void);

/* Whether stdin has something to pass on when nobody says so: not a terminal, not /dev/null. */
bool stdin_is_input(void);
/* Writes the "data" of an output event (text, or base64 by its "encoding") to fd. */
int output_event_write(const json_t *event, const char *key, int fd);
