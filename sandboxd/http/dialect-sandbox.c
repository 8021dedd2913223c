/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/bus-errors.h"
#include "sandboxd/http/dialect.h"

/* Clients of /sandbox show the text of the error and look at nothing but the status, hence no codes. */

static const ErrorRow errors[] = {
        { BUS_ERROR_COMMAND_NOT_FOUND, 400, NULL },
        { BUS_ERROR_DENIED,            403, NULL },
        { BUS_ERROR_FILE_ACCESS,       403, NULL },
        { BUS_ERROR_FILE_EXISTS,       400, NULL },
        { BUS_ERROR_IMAGE_NOT_ALLOWED, 403, NULL },
        { BUS_ERROR_INTERRUPTED,       503, NULL },
        { BUS_ERROR_INVALID,           400, NULL },
        { BUS_ERROR_LIMIT_REACHED,     429, NULL },
        { BUS_ERROR_NOT_A_DIRECTORY,   400, NULL },
        { BUS_ERROR_NOT_A_FILE,        400, NULL },
        { BUS_ERROR_NO_SPACE,          507, NULL },
        { BUS_ERROR_NO_SUCH_COMMAND,   404, NULL },
        { BUS_ERROR_NO_SUCH_FILE,      404, NULL },
        { BUS_ERROR_NO_SUCH_IMAGE,     400, NULL },
        { BUS_ERROR_NO_SUCH_OBJECT,    404, NULL },
        { BUS_ERROR_NO_SUCH_PROCESS,   404, NULL },
        { BUS_ERROR_NO_SUCH_SANDBOX,   404, NULL },
        { BUS_ERROR_PATH_REFUSED,      400, NULL },
        { BUS_ERROR_TIMED_OUT,         504, NULL },
        { BUS_ERROR_TOO_LARGE,         413, NULL },
        { BUS_ERROR_UNAVAILABLE,       503, NULL },
        { BUS_ERROR_UPSTREAM,          502, NULL },
        { BUS_ERROR_WRONG_STATE,       409, NULL },
};

static json_t *envelope(unsigned status, const char *code, const char *message) {
        (void) status;
        (void) code;
        return json_pack("{s:s}", "error", message);
}

const Dialect dialect_sandbox = {
        .name = "sandbox",
        .envelope = envelope,
        .errors = errors,
        .n_errors = ELEMENTSOF(errors),
        .default_status = 500,
        .missing_token_status = 401,
        .wrong_token_status = 403,
};
