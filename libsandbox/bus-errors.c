/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/bus-errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"

/* An error crosses processes as a name and inside of one as an errno; this table is the way between the two. The text
 * goes along for people and is never compared. */

const BusErrorRow bus_error_rows[] = {
        { BUS_ERROR_COMMAND_NOT_FOUND, ENOEXEC      },
        { BUS_ERROR_DENIED,            EPERM        },
        { BUS_ERROR_FILE_ACCESS,       EACCES       },
        { BUS_ERROR_FILE_EXISTS,       EEXIST       },
        { BUS_ERROR_IMAGE_NOT_ALLOWED, EPERM        },
        { BUS_ERROR_INTERRUPTED,       ECANCELED    },
        { BUS_ERROR_INVALID,           EINVAL       },
        { BUS_ERROR_LIMIT_REACHED,     EBUSY        },
        { BUS_ERROR_NOT_A_DIRECTORY,   ENOTDIR      },
        { BUS_ERROR_NOT_A_FILE,        EISDIR       },
        { BUS_ERROR_NO_SPACE,          ENOSPC       },
        { BUS_ERROR_NO_SUCH_COMMAND,   ESRCH        },
        { BUS_ERROR_NO_SUCH_FILE,      ENOENT       },
        { BUS_ERROR_NO_SUCH_IMAGE,     ENOENT       },
        { BUS_ERROR_NO_SUCH_OBJECT,    ENOENT       },
        { BUS_ERROR_NO_SUCH_PROCESS,   ESRCH        },
        { BUS_ERROR_NO_SUCH_SANDBOX,   ENXIO        },
        { BUS_ERROR_PATH_REFUSED,      ELOOP        },
        { BUS_ERROR_TIMED_OUT,         ETIMEDOUT    },
        { BUS_ERROR_TOO_LARGE,         EFBIG        },
        { BUS_ERROR_UNAVAILABLE,       EHOSTDOWN    },
        { BUS_ERROR_UPSTREAM,          ECONNREFUSED },
        { BUS_ERROR_WRONG_STATE,       EBADE        },
};
const size_t n_bus_error_rows = ELEMENTSOF(bus_error_rows);

int bus_error_to_errno(const char *name) {
        for (size_t i = 0; name && i < n_bus_error_rows; i++)
                if (streq(bus_error_rows[i].name, name))
                        return bus_error_rows[i].value;
        return EIO;
}

/* The bus takes UTF-8 only, and a reply that it does not take is never sent: whoever asked would wait for ever. Names of
 * files may be any bytes, and a precision in the format may cut a character in two. */
int bus_error_set(sd_bus_error *error, const char *name, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *clean = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0)
                text = NULL;
        if (text && !utf8_is_valid(text, strlen(text)))
                clean = utf8_sanitize(text, strlen(text));
        (void) sd_bus_error_set(error, name, clean ?: text);
        return -bus_error_to_errno(name);
}
