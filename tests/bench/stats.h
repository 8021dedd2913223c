/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "libsandbox/macro.h"

/* Figures of one measure, in the order in which they were taken. */
typedef struct Samples {
        double *values;
        size_t n, allocated;
} Samples;

void samples_done(Samples *s);
int samples_add(Samples *s, double value);
/* The smallest value that `percent` of all are not above (nearest rank); NAN of none. */
double samples_percentile(const Samples *s, double percent);

/* What a ratio has to do to be good. */
typedef enum Direction {
        AT_MOST,
        AT_LEAST,
        NO_BAR,         /* shown beside the others, judged by nobody */
} Direction;

/* A ratio that could not be taken (NAN, infinite) meets no bar. */
bool verdict(double ratio, Direction direction, double bar);
