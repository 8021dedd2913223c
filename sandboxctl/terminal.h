/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/exec-stream.h"

typedef struct TerminalAttach {
        const char *sandbox, *terminal; /* ids */
        bool fresh;                     /* we opened it: nothing is to be shown again */
        bool last;                      /* nobody can come back: it ends with us */
} TerminalAttach;

/* Signals that end us come later, so that none finds our terminal half set up, or a terminal that nobody knows of. */
void terminal_block_signals(void);
/* Passes keys, output and sizes between our terminal and one of a sandbox until that ends or is left. Returns what the
 * program shall end with. */
int terminal_attach(Ctl *c, const TerminalAttach *a);

/* Whether we have a terminal that one of a sandbox can be shown on. */
bool terminal_is_ours(void);
/* Opens one for a command, or for a shell if argv is empty, and passes things between them. terminal_block_signals() comes
 * first. */
int terminal_run(Ctl *c, const ExecRequest *request, bool last);
