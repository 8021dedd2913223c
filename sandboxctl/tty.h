/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* The terminal that we run in. */
typedef struct TtySize {
        unsigned rows, columns;
} TtySize;

/* Of stdout; 24 x 80 where it does not say. */
TtySize tty_size(void);
/* Every key comes at once and as it is, until tty_restore(), which is also done at exit. */
int tty_make_raw(void);
void tty_restore(void);
