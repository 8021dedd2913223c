/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* The rest of path behind prefix: it begins with '/' or is empty. NULL if path is not below prefix. */
const char *path_below_prefix(const char *path, const char *prefix);
