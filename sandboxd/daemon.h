/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From the settings to the loop and back. */
struct ManagerOptions;

/* paths: state directory and sockets. */
int daemon_run(const struct ManagerOptions *paths);
