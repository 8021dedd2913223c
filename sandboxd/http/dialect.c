/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/dialect.h"

#include <systemd/sd-bus.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/route-prefix.h"

/* What a lost or slow peer gives on the bus; the same in each dialect. */
static const ErrorRow common_errors[] = {
        { SD_BUS_ERROR_DISCONNECTED,    503, "unavailable" },
        { SD_BUS_ERROR_LIMITS_EXCEEDED, 429, "limit"       },
        { SD_BUS_ERROR_NO_REPLY,        503, "unavailable" },
        { SD_BUS_ERROR_NO_SERVER,       503, "unavailable" },
        { SD_BUS_ERROR_SERVICE_UNKNOWN, 503, "unavailable" },
        { SD_BUS_ERROR_TIMEOUT,         504, "timeout"     },
        { "System.Error.ECONNREFUSED",  503, "unavailable" },
        { "System.Error.ECONNRESET",    503, "unavailable" },
        { "System.Error.ENOSPC",        507, "no_space"    },
        { "System.Error.ENOTCONN",      503, "unavailable" },
        { "System.Error.EPIPE",         503, "unavailable" },
};

static const ErrorRow status_codes[] = {
        { "", 400, "invalid_request"    },
        { "", 401, "unauthorized"       },
        { "", 403, "forbidden"          },
        { "", 404, "not_found"          },
        { "", 405, "method_not_allowed" },
        { "", 408, "timeout"            },
        { "", 409, "conflict"           },
        { "", 413, "too_large"          },
        { "", 429, "limit"              },
        { "", 503, "unavailable"        },
        { "", 504, "timeout"            },
        { "", 507, "no_space"           },
};

/* What the few routes of no dialect can be told; their only objects are channels of terminals. */
static const ErrorRow none_errors[] = {
        { BUS_ERROR_INVALID,         400, "invalid_request" },
        { BUS_ERROR_NO_SUCH_COMMAND, 404, "not_found"       },
        { BUS_ERROR_TOO_LARGE,       413, "too_large"       },
        { BUS_ERROR_UNAVAILABLE,     503, "unavailable"     },
};

/* A word for a status that came without one. */
static const char *dialect_status_code(unsigned status) {
        for (size_t i = 0; i < ELEMENTSOF(status_codes); i++)
                if (status_codes[i].status == status)
                        return status_codes[i].code;
        return status < 500 ? "invalid_request" : "internal";
}

static json_t *envelope_none(unsigned status, const char *code, const char *message) {
        return json_pack("{s:s, s:s}", "code", code ? code : dialect_status_code(status), "message", message);
}

const Dialect dialect_none = {
        .name = "none",
        .envelope = envelope_none,
        .errors = none_errors,
        .n_errors = ELEMENTSOF(none_errors),
        .default_status = 500,
        .missing_token_status = 401,
        .wrong_token_status = 401,
};

const Dialect *dialect_of_path(const RouteTable *tables, size_t n_tables, const char *path) {
        for (size_t i = 0; i < n_tables; i++)
                if (path_below_prefix(path, tables[i].prefix))
                        return tables[i].dialect;
        return &dialect_none;
}

static const ErrorRow *find(const ErrorRow *rows, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(rows[i].name, name))
                        return rows + i;
        return NULL;
}

const ErrorRow *dialect_find_error(const Dialect *dialect, const char *name) {
        const ErrorRow *row = find(dialect->errors, dialect->n_errors, name);

        return row ? row : find(common_errors, ELEMENTSOF(common_errors), name);
}
