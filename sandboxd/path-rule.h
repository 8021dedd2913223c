/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* Where the JSON file routes may go: a relative path lies in the workspace, an absolute one must be the workspace or
 * below it, ".." is refused as a component wherever it leads. What is left goes to the file worker, which resolves it
 * inside the sandbox: links cannot leave that either. */
int path_in_workspace(const char *workspace, const char *path, char **ret, sd_bus_error *error);

/* Any absolute path; a relative one lies in directory. For commands' directories and the raw routes. */
int path_anywhere(const char *directory, const char *path, char **ret, sd_bus_error *error);

#define SANDBOX_PATH_MAX 4095U
