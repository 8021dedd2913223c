/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/errno.h>

#include "sandbox-init/init.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

/* What execd may ask of init: a row of the table for each operation, with a handler that answers by its return value.
 * One request at a time is worked off, to its end; what takes time (the start of a command) answers later through the
 * command's row. */

static int on_root(Init *i) {
        int r;

        r = init_attach_root(i);
        if (r < 0)
                return r;

        i->phase = INIT_PHASE_LIVE;
        return 0;
}

static int on_go(Init *i) {
        int r;

        r = init_park(i);
        if (r < 0)
                return r;

        i->phase = INIT_PHASE_PARKED;
        return 0;
}

static int on_signal(Init *i) {
        const InitSignal *m = &i->request.signal;
        const Command *c;

        if (m->target == INIT_SIGNAL_PROCESS)
                return (int) SYS(kill, m->pid, m->signal);

        c = command_table_find(&i->commands, m->command);
        if (!c)
                return -ENOENT;

        /* Not reaped yet, so the number is still its own, and that of the group it leads. */
        if (c->state != COMMAND_RUNNING)
                return -ESRCH;

        return (int) SYS(kill, m->target == INIT_SIGNAL_GROUP ? -c->pid : c->pid, m->signal);
}

/* The kept descriptors are sent as duplicates: whoever asks again, after a crash, gets them again. */
static int on_take(Init *i) {
        const Command *c;

        c = command_table_find(&i->commands, i->request.name.command);
        if (!c || (c->state != COMMAND_RUNNING && c->state != COMMAND_EXITED))
                return -ENOENT;

        i->reply_fds = c;
        return 0;
}

static int on_ping(Init *i) {
        (void) i;
        return 0;
}

/* Only from now on the status exists somewhere else. Nobody waits for an answer: an acknowledgement that is lost is
 * sent again by the next daemon, for the command is still in its list. */
static int on_acknowledge(Init *i) {
        Command *c;

        c = command_table_find(&i->commands, i->request.name.command);
        if (!c || c->state != COMMAND_EXITED)
                return -ENOENT;

        init_forget_command(i, c);
        return 0;
}

#define EXIT_UNCONFINED 2

/* Beyond it a packet's memory is given back: a page that stays is kept by thousands of sandboxes. */
#define LARGE 4096U

typedef enum OperationFlags {
        REPLIES = 1 << 0,
        REPLIES_LATER = 1 << 1, /* at once only if it fails */
        ALL_OR_NOTHING = 1 << 2, /* a failure leaves a half-made sandbox: only PING is answered from then on */
} OperationFlags;

static const struct Operation {
        uint32_t operation;
        int (*handler)(Init *i);
        OperationFlags flags;
} operations[] = {
        { INIT_GO,               on_go,               REPLIES | ALL_OR_NOTHING },
        { INIT_ENTER_CGROUP,     init_enter_cgroup,   REPLIES | ALL_OR_NOTHING },
        { INIT_ROOT,             on_root,             REPLIES | ALL_OR_NOTHING },
        { INIT_EXEC,             init_start_command,  REPLIES_LATER            },
        { INIT_SIGNAL,           on_signal,           REPLIES                  },
        { INIT_TAKE,             on_take,             REPLIES                  },
        { INIT_PING,             on_ping,             REPLIES                  },
        { INIT_ACKNOWLEDGE,      on_acknowledge,      0                        },
};

static const struct Operation unknown = { .flags = REPLIES };

static const struct Operation *find_operation(const Request *request) {
        if (request->size >= sizeof(InitHeader))
                for (size_t n = 0; n < ELEMENTSOF(operations); n++)
                        if (operations[n].operation == request->header.operation)
                                return &operations[n];
        return &unknown;
}

/* After a step of the making has failed half of a sandbox is there: nothing but the question whether we live makes
 * sense any more, and execd kills what it could not make. */
static int run(Init *i, const struct Operation *o) {
        int r;

        r = request_check(i->request.bytes, i->request.size, i->request.n_fds, i->phase);
        if (r < 0)
                return r;

        if (i->broken && o->handler != on_ping)
                return -EPROTO;

        r = o->handler(i);
        if (r < 0 && o->flags & ALL_OR_NOTHING)
                i->broken = true;
        return r;
}

/* To load the filters takes the kernel longer than to build the root, and only commands need them: the answer to ROOT goes
 * out before. A request that follows it waits in the socket meanwhile, and where they cannot be loaded there is no sandbox
 * any more that could serve it. */
static void confine(Init *i) {
        init_flush(i);
        if (init_load_filters(&i->request.root) < 0)
                SYS(exit_group, EXIT_UNCONFINED);
}

void init_dispatch(Init *i) {
        Request *request = &i->request;
        const struct Operation *o = find_operation(request);
        uint32_t sequence = request->size >= sizeof(InitHeader) ? request->header.sequence : 0;
        int r;

        i->reply_fds = NULL;
        (void) step_take();
        r = run(i, o);

        if (o->flags & REPLIES || (o->flags & REPLIES_LATER && r < 0)) {
                i->reply_due = true;
                i->reply = (InitReply) {
                        .header = { INIT_REPLY, sequence },
                        .error = r < 0 ? -r : 0,
                        .step = r < 0 ? step_take() : 0,
                };
        }

        for (size_t n = 0; n < request->n_fds; n++)
                close_fd(&request->fds[n]);
        request->n_fds = 0;
        if (r >= 0 && o->handler == on_root)
                confine(i);
        if (request->size > LARGE)
                release_pages(request->bytes, sizeof(request->bytes));
}
