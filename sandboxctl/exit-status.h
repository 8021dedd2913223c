/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What sandboxctl ends with, one number a kind of failure; sandboxctl(1) has the same table. Verbs that run a command
 * (run, exec) end with the command's own status, so all failures of ours become EXIT_STATUS_OWN there. */
typedef enum ExitStatus {
        EXIT_STATUS_OK = 0,
        EXIT_STATUS_FAILURE = 1,        /* also a request that the server finds wrong */
        EXIT_STATUS_USAGE = 2,
        EXIT_STATUS_CONNECTION = 3,     /* no server, or the connection broke */
        EXIT_STATUS_NOT_FOUND = 4,
        EXIT_STATUS_REFUSED = 5,        /* no token, a wrong one, or not allowed */
        EXIT_STATUS_CONFLICT = 6,       /* the sandbox's state, or an ambiguous name */
        EXIT_STATUS_LIMIT = 7,          /* too many, too large, no space */
        EXIT_STATUS_SERVER = 8,
        EXIT_STATUS_TIMEOUT = 124,      /* the command's time was up */
        EXIT_STATUS_OWN = 125,
        EXIT_STATUS_NOT_EXECUTABLE = 126,
        EXIT_STATUS_NO_COMMAND = 127,
        EXIT_STATUS_SIGNAL = 128,       /* plus the number of the signal */
} ExitStatus;

/* Of an HTTP status that is not 2xx. */
ExitStatus exit_status_from_http(long status);
