/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Bytes of a sandbox on their way into a JSON string: invalid UTF-8 becomes U+FFFD, control characters and all
 * ends of lines are escaped. out needs JSON_ESCAPE_FACTOR * n bytes. Returns what was consumed: all of it if last, else
 * a sequence that the end of the buffer cuts in two is left for the next call. */
#define JSON_ESCAPE_FACTOR 6U
size_t json_escape(const char *in, size_t n, bool last, char *out, size_t *ret_n_out);

/* JSON text in which the same ends of lines, which can only stand in its strings, are escaped: text itself, mostly,
 * else a copy, and text is freed. NULL: no memory. */
char *json_escape_ends(char *text);

/* How many of the last bytes (0 to 3) are the begin of a sequence that is not whole. */
size_t utf8_cut(const char *s, size_t n);

/* Standard alphabet, padded. out needs 4 * ((n + 2) / 3) bytes; returns the bytes written. */
size_t base64_encode(const void *in, size_t n, char *out);
/* Strict: nothing but the alphabet and the right padding. out needs n / 4 * 3 bytes. -EINVAL. */
ssize_t base64_decode(const char *in, size_t n, void *out);
