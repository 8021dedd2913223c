/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/context.h"

/* Shared by context.c, which makes them live, and context-record.c, which keeps them. */

struct Execution {
        Execution *next;
        Context *context;
        char token[40], *code;
        uint64_t timeout_usec, started_usec;
        bool begun;             /* its driver says so: from now on a signal hits it, before nobody */
        bool interrupt_due;
        ContextResult result;
        ContextCallback callback;
        void *userdata;
};

struct Context {
        Contexts *set;
        Sandbox *sandbox;
        char id[40], command_id[40], *cwd;
        const Language *language;
        Command *command;       /* NULL: dead */
        uint64_t created_msec;
        bool ready;             /* it has answered once */
        bool adopted;           /* and what it runs may be of before our time */
        Execution *running, *waiting;
        sd_event_source *source, *timer;
};

struct Contexts {
        Manager *manager;
        Hashmap *contexts;      /* by id */
};

extern const CommandHandlers context_handlers;

int context_allocate(Contexts *set, Sandbox *s, const Language *language, const char *cwd, Context **ret);
Context *context_free(Context *c);
DEFINE_CLEANUP(Context *, context_free)
/* Nothing that its process says is heard any more. */
void context_unwatch(Context *c);
int context_save(const Context *c);
bool context_is_alive(const Context *c);

/* The text of the driver, with its length before it. */
int context_driver_read(const Language *l, char **ret);
/* What the interpreter is started with: it reads that text from descriptor 0. */
const char *context_driver_bootstrap(const Language *l);
