/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/stat.h>

#include "libsandbox/macro.h"

/* What chmod(1) makes of three or four octal digits, or of one clause "[ugoa]*[+-=][rwxXt]*", on a file of mode old
 * (st_mode, with its type). Without a letter in front it is "a" less the umask 022. -EINVAL: neither. */
int mode_change(const char *text, mode_t old, mode_t *ret);
