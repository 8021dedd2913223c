/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/interpreter.h"
#include "sandboxd/manager.h"

/* Interpreters that keep what they were told: a process each, which runs as long as its sandbox and goes on while we
 * are away. It runs a driver of ours (interpreters/), which talks over the process's descriptor 0 in frames; what the
 * code writes comes by two pipes, as of any command. Knows no HTTP. */

#define CONTEXT_KIND "context"
#define CONTEXTS_MAX 16U                /* a sandbox */
#define CONTEXT_WAITING_MAX 16U         /* executions behind the one that runs */
#define CONTEXT_CODE_MAX (64 * KiB)     /* a request goes out in one piece or not at all */
#define CONTEXT_FRAME_MAX (64 * KiB)    /* of its text */

typedef struct Contexts Contexts;
typedef struct Context Context;
typedef struct Execution Execution;

int contexts_new(Manager *m, Contexts **ret);
Contexts *contexts_free(Contexts *c);
DEFINE_CLEANUP(Contexts *, contexts_free)
/* The sandbox is gone, and its processes with it. */
void contexts_forget(Contexts *c, Sandbox *s);

const char *context_id(const Context *c);
/* NULL when the sandbox has none of that id; s NULL: any sandbox. */
Context *context_find(Contexts *c, const Sandbox *s, const char *id);
/* {"id", "language", "cwd", "status", "createdAt"}: status is starting, idle, busy or dead. */
json_t *context_to_json(const Context *c);
json_t *contexts_to_json(Contexts *c, const Sandbox *s);

/* What came of an execution. Texts are as the sandbox wrote them, so perhaps no UTF-8. */
typedef struct ContextResult {
        char *result, *error, *status;  /* NULL: none */
        Spool *outputs[2];
        uint64_t duration_msec;
        bool timed_out, ended;          /* ended: the process did */
} ContextResult;

/* result NULL: it never ran, and error says why. Both borrowed. */
typedef void (*ContextCallback)(const ContextResult *result, const sd_bus_error *error, void *userdata);

/* The callback comes when it has answered, so when the language is there. cwd is absolute. */
int context_new(Manager *m, Sandbox *s, const Language *language, const char *cwd, ContextCallback callback,
                void *userdata, Context **ret, sd_bus_error *error);
/* One after the other, in the order of the calls. The callback comes exactly once, unless it is taken back. */
int context_execute(Context *c, const char *code, uint64_t timeout_usec, ContextCallback callback, void *userdata,
                    Execution **ret, sd_bus_error *error);
/* Nobody waits for it any more: interrupted if it runs. */
void execution_cancel(Execution *e);
/* SIGINT, as from a terminal. */
void context_interrupt(Context *c);
/* A new process that knows nothing; executions under way end. */
int context_restart(Context *c, ContextCallback callback, void *userdata, sd_bus_error *error);
void context_delete(Context *c);

/* "KIND TOKEN LENGTH\n" and so many bytes. */
typedef struct ContextFrame {
        char kind[8], token[40];
        const char *text;
        size_t n_text, size;            /* size: all of it */
} ContextFrame;

/* > 0: there is one; 0: not whole yet; -EBADMSG. */
int context_frame_parse(const char *data, size_t n, ContextFrame *ret);
