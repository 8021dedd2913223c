/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <time.h>

#include "libsandbox/macro.h"

/* Text for people. What comes from a server or a sandbox may hold anything, so all of it passes text_escape() on its
 * way to a terminal; only the output of a command itself does not. */

/* Control characters, invalid UTF-8 and the characters that reorder a line become \n, \t, \xNN or \u{NNNN}. */
char *text_escape(const char *s, size_t n);
/* Columns of valid UTF-8 on a terminal. */
unsigned text_width(const char *s);
/* Bytes of the longest prefix of at most the given columns. */
size_t text_prefix(const char *s, unsigned columns);
/* Whether n bytes of text, from the start or behind a blank, fit in the width; the bytes to print before a break. */
size_t text_break(const char *s, unsigned columns);

#define TEXT_SHORT_MAX 32U

/* "512B", "1.5K", "20M": at most one decimal, powers of 1024. */
char *text_size(uint64_t bytes, char ret[TEXT_SHORT_MAX]);
/* "340ms", "12s", "5min 3s", "2h 5min", "3d 4h" */
char *text_duration(uint64_t msec, char ret[TEXT_SHORT_MAX]);
/* "45s", "12m", "5h", "3d": the largest unit alone, for a column. */
char *text_span(uint64_t msec, char ret[TEXT_SHORT_MAX]);
/* "5min 3s ago", "in 2h 5min", "now"; both in milliseconds since the epoch. */
char *text_relative(int64_t msec, int64_t now_msec, char ret[TEXT_SHORT_MAX]);
/* "2026-01-31 12:00:00 UTC" */
char *text_time(int64_t msec, char ret[TEXT_SHORT_MAX]);

/* Seconds with an optional suffix s, min or m, h, d: -EINVAL or -ERANGE. */
int parse_seconds(const char *s, uint64_t *ret);
/* MiB, or a size with a suffix K, M, G, T, rounded up to whole MiB. */
int parse_mebibytes(const char *s, uint64_t *ret);
/* The candidate nearest to word by edit distance, NULL if none is near. next() returns NULL behind the last one. */
const char *text_suggest(const char *word, const char *(*next)(void *userdata), void *userdata);
unsigned text_distance(const char *a, const char *b);
