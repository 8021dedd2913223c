/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The one thing that is said to us and not to the terminal: Ctrl-] and then d leaves it. Ctrl-] twice types it once;
 * before any other key it is a key like all others. */
#define ESCAPE_KEY '\x1d'
#define ESCAPE_DETACH 'd'

typedef struct Escape {
        bool begun;     /* the last byte was the key, and what it means is not known yet */
} Escape;

/* What is to be typed of n bytes goes to out, which has room for n + 1; returns how much it is. When it was left,
 * *ret_detach is true and the rest of the bytes is dropped. */
size_t escape_feed(Escape *e, const char *data, size_t n, char *out, bool *ret_detach);
