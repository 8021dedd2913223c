/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/json-scan.h"
#include "sandboxd/json-fields.h"
#include "tests/fuzz/fuzz.h"

typedef struct Target {
        char *text;
        int64_t integer, clamped;
        double number;
        bool flag;
        char **list, **command;
        bool command_was_string;
        char **map;
        json_t *object, *array;
} Target;

static const JsonField fields[] = {
        { "text",    JSON_FIELD_STRING, offsetof(Target, text),    JSON_FIELD_NONEMPTY, 0, 64,    "" },
        { "integer", JSON_FIELD_INT,    offsetof(Target, integer), JSON_FIELD_LENIENT,  -5, 1000, "" },
        { "clamped", JSON_FIELD_INT,    offsetof(Target, clamped), JSON_FIELD_CLAMP,    1, 4096,  "" },
        { "number",  JSON_FIELD_NUMBER, offsetof(Target, number),  JSON_FIELD_CLAMP,    0.5, 2,   "" },
        { "flag",    JSON_FIELD_BOOL,   offsetof(Target, flag),    0,                   0, 0,     "" },
        { "list",    JSON_FIELD_STRV,   offsetof(Target, list),    JSON_FIELD_NONEMPTY, 0, 0,     "" },
        { "command", JSON_FIELD_STRING_OR_STRV, offsetof(Target, command), JSON_FIELD_WAS_STRING, 0, 0, "" },
        { "map",     JSON_FIELD_MAP,    offsetof(Target, map),     0,                   0, 0,     "" },
        { "object",  JSON_FIELD_OBJECT, offsetof(Target, object),  JSON_FIELD_LENIENT,  0, 0,     "" },
        { "array",   JSON_FIELD_ARRAY,  offsetof(Target, array),   0,                   0, 0,     "" },
};

static void check_target(const Target *t) {
        assert(t->integer >= -5 && t->integer <= 1000);
        assert(t->clamped >= 1 && t->clamped <= 4096);
        assert(t->number >= 0.5 && t->number <= 2);
        assert(!t->text || (*t->text && strlen(t->text) <= 64));
        STRV_FOREACH(s, t->map)
                assert(strchr(*s, '=') > *s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(json_decrefp) json_t *object = NULL;
        Target t = { .clamped = 1, .number = 1 };
        int r;

        r = json_parse_limited((const char *) data, n, &object, &error);
        if (r >= 0 && object)
                r = json_fields_read(object, fields, ELEMENTSOF(fields), &t, &error);
        assert(r >= 0 || streq(error.name, BUS_ERROR_INVALID));
        check_target(&t);
        json_fields_done(fields, ELEMENTSOF(fields), &t);
        return 0;
}
