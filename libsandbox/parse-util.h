/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Strict number and word parsers: the whole text must match. -EINVAL: not of the form, -ERANGE: too large. */
int parse_u64(const char *s, uint64_t *ret);
int parse_u32(const char *s, uint32_t *ret);
int parse_i64(const char *s, int64_t *ret);
int parse_double(const char *s, double *ret);
/* true, false, yes, no, on, off, 1, 0 */
int parse_boolean(const char *s, bool *ret);
/* Bytes with an optional suffix K, M, G, T (powers of 1024). */
int parse_size(const char *s, uint64_t *ret);

