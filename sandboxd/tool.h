/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* A program of the image that does something for us in a sandbox: started by its argument vector, never by a line of
 * text, waited for, its output collected. Knows no HTTP. */

typedef struct Tool Tool;

typedef struct ToolSpec {
        char *const *argv;
        char *const *env;       /* "KEY=VALUE" beside those of the sandbox; may be secret: it is shown to nobody */
        const char *const *defaults; /* "KEY=VALUE" where the sandbox has no such variable */
        const char *cwd;        /* absolute inside; NULL: where commands of the sandbox start */
        const char *input;      /* NULL: none */
        uint64_t timeout_usec;
} ToolSpec;

/* Exactly once, unless cancelled. error NULL: it ran to its end, or timed out; c is borrowed. */
typedef void (*ToolCallback)(const Command *c, const sd_bus_error *error, void *userdata);

int tool_run(Manager *m, Sandbox *s, const ToolSpec *spec, ToolCallback callback, void *userdata, Tool **ret,
             sd_bus_error *error);
/* With all that it has started. Not after the callback. */
void tool_cancel(Tool *t);

/* At most max bytes of a stream (0: stdout, 1: stderr) as they are, with a NUL behind them. */
int tool_read(const Command *c, size_t stream, size_t max, char **ret, size_t *ret_n);
/* The last words of stderr, as text for an error. NULL when there is no memory. */
char *tool_complaint(const Command *c);
