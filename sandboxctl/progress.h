/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* One line on stderr that is drawn over and over while a file is copied, if stderr is a terminal. */
typedef struct Progress {
        bool enabled;
        const char *name;
        uint64_t size;           /* UINT64_MAX: unknown */
        uint64_t done;
        int64_t begun_msec, drawn_msec;
} Progress;

void progress_begin(Progress *p, const char *name, uint64_t size);
void progress_add(Progress *p, uint64_t n);
void progress_end(Progress *p);
/* The line for the given moment, at most 79 columns. */
char *progress_format(const Progress *p, int64_t now_msec);
