/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* What a daemon that leaves when idle has to know of each sandbox when it comes back: a file a sandbox, named by the id, in
 * its RuntimeDirectory=. */

/* The directory; logged on failure. */
int runtime_directory_open(void);
/* Of each file. One that cannot be read, or of which handler says so, is logged and left where it is. */
int runtime_files_foreach(int directory_fd, size_t max, int (*handler)(const char *id, const char *text, void *userdata),
                          void *userdata);
