/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Removes what is below a directory, depth-first and by descriptors: no link is followed, no mount is entered, and a
 * bounded number of directories is open however deep the tree is. Stops at the first failure with what is gone gone.
 * until_usec is of CLOCK_BOOTTIME: -ETIMEDOUT; a mount below: -EBUSY. Takes the descriptor (not O_PATH) over. */
int tree_remove_contents(int directory_fd, uint64_t until_usec);

/* Removes one entry of a directory, with all below it. */
int tree_remove_at(int directory_fd, const char *name, uint64_t until_usec);
