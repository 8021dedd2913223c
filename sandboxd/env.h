/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* What a sandbox's environment became after its creation. It stands in the sandbox's record and goes to every command,
 * terminal and tool that starts later (exec_make_env()); programs that look for it in a file find it in
 * /etc/environment, between two marks of ours. Knows no HTTP. */

#define ENV_FILE "/etc/environment"
#define ENV_VARIABLES_MAX 1000U
#define ENV_BYTES_MAX (64 * KiB)

/* All or nothing. Names are checked here. */
int env_set(Manager *m, Sandbox *s, char *const *assignments, sd_bus_error *error);
/* Also what the sandbox was created with, and what every sandbox has. One that is not there is fine. */
int env_unset(Manager *m, Sandbox *s, const char *name, sd_bus_error *error);
/* All that a command would see: "KEY=VALUE". The one place where values are read. */
int env_list(const Sandbox *s, char ***ret);

/* error NULL: the file says what was set before the call. */
typedef void (*EnvCallback)(const sd_bus_error *error, void *userdata);
int env_write_file(Manager *m, Sandbox *s, EnvCallback callback, void *userdata);

/* The file's text, of which n bytes were there, with the lines between our marks made anew. */
int env_file_update(const char *text, size_t n, json_t *overlay, char **ret);
