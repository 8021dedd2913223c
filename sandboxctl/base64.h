/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Standard alphabet with padding, strictly. -EINVAL: none. *ret is owned. */
int base64_decode(const char *text, size_t n, char **ret, size_t *ret_size);
