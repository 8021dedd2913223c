/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/sandbox.h"

/* Starts a sandbox-files in the scope of the sandbox and returns our end of its bus connection. It ends with its
 * connection, or with the sandbox. */
int file_worker_start(Sandbox *s);
/* The same as an answer to StartFileWorker(). */
void file_worker_reply(Sandbox *s, sd_bus_message *call);
