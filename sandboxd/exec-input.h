/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/json-fields.h"
#include "sandboxd/manager.h"
#include "sandboxd/request.h"

/* What a client may say about a command, checked and turned into what execd wants. */
typedef struct ExecInput {
        /* as it came */
        char **command;
        bool command_was_string;
        char *cwd, **env;
        json_t *stdin_value, *user;
        int64_t timeout;
        bool lossless, binary;
        /* made of it */
        char *text;
        CommandSpec spec;
        CommandInput input;     /* data is borrowed from the request */
} ExecInput;

typedef enum ExecInputFlags {
        EXEC_INPUT_NO_TIMEOUT = 1 << 0,         /* background: lives as long as it wants */
        EXEC_INPUT_STDIN_PIPE = 1 << 1,         /* "stdin": true is understood */
        EXEC_INPUT_LATER = 1 << 2,              /* it does not run yet: how many run now does not matter */
} ExecInputFlags;

/* What exec_input_read() reads: all of it everywhere, though only streams make a difference of the second. */
extern const JsonTable exec_table, exec_stream_table;

int exec_input_read(Request *request, const Sandbox *s, ExecInputFlags flags, ExecInput *ret, sd_bus_error *error);
void exec_input_done(ExecInput *input);

/* "KEY=VALUE" of a command: the base, what the sandbox was created with, what env.h changed since, the command's own. */
int exec_make_env(const Sandbox *s, char *const *extra, char ***ret);
/* Those of defaults (or NULL) whose names env has not. */
int exec_env_add_defaults(char ***env, const char *const *defaults);
/* Where a command, or whatever else a client starts in a sandbox, begins: what he says, seen from the directory that the
 * sandbox was created with; without a word of his, there. */
int exec_make_cwd(const Sandbox *s, const Settings *settings, const char *cwd, char **ret, sd_bus_error *error);
/* How a command is shown: its words with blanks between them. */
int exec_make_text(char *const *argv, char **ret);
