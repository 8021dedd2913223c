/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/exec-input.h"
#include "sandboxd/terminal.h"

/* What the api-terminal*.c files share. */

/* Where to begin, and who it is: the fields of terminal_attach_table. */
typedef struct AttachInput {
        int64_t offset, tail;
        char *holder;
        bool resume;
} AttachInput;

int attach_input_read(Request *request, AttachInput *ret, sd_bus_error *error);
void attach_input_done(AttachInput *in);
/* Conflict: somebody else has it, and one only resumes. */
int api_terminal_attach(const AttachInput *in, Command *c, void (*wake)(void *userdata), void *userdata,
                        TerminalReader **ret, sd_bus_error *error);
/* Opens one, unless there are too many; callback has an ApiCall for its userdata, to free and to reply by. */
int api_terminal_start(Request *request, Sandbox *s, ExecInput *input, TerminalCallback callback,
                       sd_bus_error *error);
/* "rows" and "cols" of object, both mandatory. */
int api_terminal_resize_by(Command *c, json_t *object, sd_bus_error *error);
