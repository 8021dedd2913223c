/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void samples_done(Samples *s) {
        free(s->values);
        *s = (Samples) {};
}

int samples_add(Samples *s, double value) {
        if (s->n == s->allocated) {
                size_t allocated = s->allocated > 0 ? s->allocated * 2 : 64;
                double *values = reallocarray(s->values, allocated, sizeof(double));

                if (!values)
                        return -ENOMEM;
                s->values = values;
                s->allocated = allocated;
        }
        s->values[s->n++] = value;
        return 0;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

double samples_percentile(const Samples *s, double percent) {
        double *sorted, value;
        size_t rank;

        if (s->n == 0)
                return NAN;
        sorted = malloc(s->n * sizeof(double));
        if (!sorted)
                return NAN;
        memcpy(sorted, s->values, s->n * sizeof(double));
        qsort(sorted, s->n, sizeof(double), compare);
        rank = (size_t) ceil(percent / 100.0 * (double) s->n);
        value = sorted[rank > 0 ? MIN(rank, s->n) - 1 : 0];
        free(sorted);
        return value;
}

bool verdict(double ratio, Direction direction, double bar) {
        switch (direction) {
        case AT_MOST:
                return isfinite(ratio) && ratio <= bar;
        case AT_LEAST:
                return isfinite(ratio) && ratio >= bar;
        case NO_BAR:
                return true;
        }
        return false;
}
