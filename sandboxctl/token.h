/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* A token comes from a file, an inherited descriptor or $III_SANDBOX_TOKEN, in this order; never from the command line,
 * which everybody on the machine can read. NULL: there is none. *ret_error (owned) says what was wrong. */
int token_load(const char *file, uint64_t fd, char **ret, char **ret_error);
/* Overwrites it first. */
char *token_free(char *token);
DEFINE_CLEANUP(char *, token_free)
/* Printable ASCII without blanks: it becomes a part of a header line. */
bool token_is_valid(const char *token);
/* 256 random bits in hex. */
int token_random(char **ret);
