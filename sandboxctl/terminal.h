/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"

typedef struct TerminalAttach {
        const char *sandbox, *terminal; /* ids */
        bool fresh;                     /* we opened it: nothing is to be shown again */
} TerminalAttach;

/* Signals that end us come later, so that none finds our terminal half set up, or a terminal that nobody knows of. */
void terminal_block_signals(void);
/* Passes keys, output and sizes between our terminal and one of a sandbox until that ends or is left. Returns what the
 * program shall end with. */
int terminal_attach(Ctl *c, const TerminalAttach *a);
