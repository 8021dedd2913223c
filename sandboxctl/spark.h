/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* A row of bars, one a value, the way to see a history in a table's cell. */

#define SPARK_BYTES_MAX 3U

/* The last columns of n values, filled up with blanks at the left. maximum is a full bar; larger values are full, too.
 * ret needs columns * SPARK_BYTES_MAX + 1 bytes. */
char *spark_line(const double *values, size_t n, size_t columns, double maximum, bool utf8, char *ret);
