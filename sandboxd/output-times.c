/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/output-times.h"

#include <errno.h>

/* A log of any length in a constant space: the marks are thinned out evenly when they are too many, so that old lines
 * keep a time, only a less exact one. Positions and times both grow, which makes the search a binary one. */

static int make_room(OutputTimes *t) {
        size_t n = MIN(MAX(t->n_allocated * 2, (size_t) 8), (size_t) OUTPUT_MARKS_MAX);
        OutputMark *larger;

        if (t->n < t->n_allocated)
                return 0;
        if (t->n == OUTPUT_MARKS_MAX) {
                for (size_t i = 0; i < t->n / 2; i++)
                        t->marks[i] = t->marks[2 * i];
                t->n /= 2;
                return 0;
        }
        larger = reallocarray(t->marks, n, sizeof(OutputMark));
        if (!larger)
                return -ENOMEM;
        t->marks = larger;
        t->n_allocated = n;
        return 0;
}

void output_times_note(OutputTimes *t, uint64_t position, uint64_t time_msec) {
        if (t->n > 0 && t->marks[t->n - 1].time_msec == time_msec)
                return;
        if (make_room(t) >= 0)
                t->marks[t->n++] = (OutputMark) { position, time_msec };
}

uint64_t output_times_at(const OutputTimes *t, uint64_t position, uint64_t fallback_msec) {
        size_t low = 0, high = t->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (t->marks[middle].position <= position)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low > 0 ? t->marks[low - 1].time_msec : fallback_msec;
}

void output_times_done(OutputTimes *t) {
        free(t->marks);
        *t = (OutputTimes) {};
}
