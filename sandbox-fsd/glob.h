/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

#define GLOB_PATTERN_MAX 200U

/* A pattern for base names: 1 to 200 bytes without "; | $ ` \". */
bool glob_is_valid(const char *pattern);
/* "*", "?" and "[a-z]" with "!" or "^", by characters of UTF-8; a "[" without its "]" is itself. There is no escape
 * and no class by name. Takes at most strlen(pattern) * strlen(name) steps, unlike fnmatch(). */
bool glob_match(const char *pattern, const char *name);
