/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* Each error name once. They cross every border as sd_bus_error; a dialect maps them to its statuses by one table. */

#define BUS_ERROR_NO_SUCH_SANDBOX "io.sandboxd.Error.NoSuchSandbox"
#define BUS_ERROR_NO_SUCH_COMMAND "io.sandboxd.Error.NoSuchCommand"
#define BUS_ERROR_NO_SUCH_PROCESS "io.sandboxd.Error.NoSuchProcess"
#define BUS_ERROR_NO_SUCH_OBJECT "io.sandboxd.Error.NoSuchObject"
#define BUS_ERROR_NO_SUCH_IMAGE "io.sandboxd.Error.NoSuchImage"
#define BUS_ERROR_IMAGE_NOT_ALLOWED "io.sandboxd.Error.ImageNotAllowed"
#define BUS_ERROR_NO_SUCH_FILE "io.sandboxd.Error.NoSuchFile"
#define BUS_ERROR_NOT_A_FILE "io.sandboxd.Error.NotAFile"
#define BUS_ERROR_NOT_A_DIRECTORY "io.sandboxd.Error.NotADirectory"
#define BUS_ERROR_FILE_ACCESS "io.sandboxd.Error.FileAccess"
#define BUS_ERROR_FILE_EXISTS "io.sandboxd.Error.FileExists"
#define BUS_ERROR_PATH_REFUSED "io.sandboxd.Error.PathRefused"
#define BUS_ERROR_TOO_LARGE "io.sandboxd.Error.TooLarge"
#define BUS_ERROR_NO_SPACE "io.sandboxd.Error.NoSpace"
#define BUS_ERROR_WRONG_STATE "io.sandboxd.Error.WrongState"
#define BUS_ERROR_LIMIT_REACHED "io.sandboxd.Error.LimitReached"
#define BUS_ERROR_COMMAND_NOT_FOUND "io.sandboxd.Error.CommandNotFound"
#define BUS_ERROR_TIMED_OUT "io.sandboxd.Error.TimedOut"
#define BUS_ERROR_UPSTREAM "io.sandboxd.Error.Upstream"
#define BUS_ERROR_UNAVAILABLE "io.sandboxd.Error.Unavailable"
#define BUS_ERROR_INVALID "io.sandboxd.Error.Invalid"
#define BUS_ERROR_INTERRUPTED "io.sandboxd.Error.Interrupted"
#define BUS_ERROR_DENIED "io.sandboxd.Error.Denied"

typedef struct BusErrorRow {
        const char *name;
        int value; /* the positive errno it stands for inside a program */
} BusErrorRow;

extern const BusErrorRow bus_error_rows[];
extern const size_t n_bus_error_rows;

/* Positive errno of one of our names, EIO for all others. */
int bus_error_to_errno(const char *name);
/* Fills error (NULL allowed) and returns the negative errno of name. */
int bus_error_set(sd_bus_error *error, const char *name, const char *format, ...) _printf_(3, 4);
