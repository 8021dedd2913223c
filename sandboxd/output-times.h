/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* When the bytes of a spool came: a mark where the clock has moved on, and every second one is given up when there are
 * too many. */
#define OUTPUT_MARKS_MAX 128U

typedef struct OutputMark {
        uint64_t position, time_msec;
} OutputMark;

typedef struct OutputTimes {
        OutputMark *marks;
        size_t n, n_allocated;
} OutputTimes;

/* What came at time_msec begins at position. */
void output_times_note(OutputTimes *t, uint64_t position, uint64_t time_msec);
/* fallback: for what came before the first mark, as after a restart. */
uint64_t output_times_at(const OutputTimes *t, uint64_t position, uint64_t fallback_msec);
void output_times_done(OutputTimes *t);
