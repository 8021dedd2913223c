/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* What a command's stdio is made of. Our end does not block; theirs is a plain descriptor. On failure what was made is
 * in the two places, for the caller to close. */

/* input: it reads. */
int make_pipe(int *ret_ours, int *ret_theirs, bool input);
/* Both ways. */
int make_socket(int *ret_ours, int *ret_theirs);
