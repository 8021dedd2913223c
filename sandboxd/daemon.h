/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From the settings to the loop and back. */
int daemon_run(const char *state_directory, const char *execd_path, const char *fsd_path);
