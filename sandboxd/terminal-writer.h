/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/terminal.h"

/* What is typed. There may be several writers at a time; each is told when the kernel takes more. */

typedef struct TerminalWriter TerminalWriter;

/* wake: what was not taken may be offered again. */
int terminal_writer_new(Command *c, void (*wake)(void *userdata), void *userdata, TerminalWriter **ret);
TerminalWriter *terminal_writer_free(TerminalWriter *w);
DEFINE_CLEANUP(TerminalWriter *, terminal_writer_free)

/* Bytes taken; of fewer than n, also 0, wake() comes. -EPIPE: the terminal has ended. */
ssize_t terminal_writer_write(TerminalWriter *w, const char *data, size_t n);
