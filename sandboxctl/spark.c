/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/spark.h"

#include <string.h>

/* Eight steps of either kind, so that a line means the same in each locale. The lowest one is for "next to nothing":
 * a blank means that there is no value yet. */
static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const letters[] = { "_", ".", "-", "~", "=", "+", "*", "#" };

static size_t level(double value, double maximum) {
        if (!(value > 0) || !(maximum > 0))
                return 0;
        if (value >= maximum)
                return ELEMENTSOF(blocks) - 1;
        return (size_t) (value * (double) ELEMENTSOF(blocks) / maximum);
}

char *spark_line(const double *values, size_t n, size_t columns, double maximum, bool utf8, char *ret) {
        size_t shown = MIN(n, columns);
        char *p = ret;

        memset(p, ' ', columns - shown);
        p += columns - shown;
        for (size_t i = n - shown; i < n; i++) {
                size_t k = level(values[i], maximum);

                p = stpcpy(p, utf8 ? blocks[k] : letters[k]);
        }
        *p = 0;
        return ret;
}
