/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/json-scan.h"

#include <string.h>

#include "libsandbox/bus-errors.h"

/* Counts before anything is allocated: a parsed document can take fifty times its text. Knows only strings, brackets and
 * separators; whether the text is JSON at all is for the parser to say. False if it nests too deep or holds too much. */
static bool json_scan(const char *text, size_t n) {
        size_t depth = 0, keys = 0, values = 0;
        bool quoted = false;

        for (size_t i = 0; i < n; i++) {
                if (quoted) {
                        if (text[i] == '\\')
                                i++;
                        else if (text[i] == '"')
                                quoted = false;
                        continue;
                }
                switch (text[i]) {
                case '"':
                        quoted = true;
                        break;
                case '{':
                case '[':
                        if (++depth > JSON_DEPTH_MAX || ++values > JSON_VALUES_MAX)
                                return false;
                        break;
                case '}':
                case ']':
                        depth -= depth > 0;
                        break;
                case ':':
                        if (++keys > JSON_KEYS_MAX)
                                return false;
                        break;
                case ',':
                        if (++values > JSON_VALUES_MAX)
                                return false;
                        break;
                }
        }
        return true;
}

int json_parse_limited(const char *text, size_t n, json_t **ret, sd_bus_error *error) {
        json_error_t problem;
        json_t *value;

        *ret = NULL;
        while (n > 0 && memchr(" \t\r\n", *text, 4)) {
                text++;
                n--;
        }
        if (n == 0)
                return 0;
        if (!json_scan(text, n))
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "The JSON body is nested too deep or has too many values");

        value = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
        if (!value)
                return bus_error_set(error, BUS_ERROR_INVALID, "The body is not valid JSON (line %d, column %d)",
                                     problem.line, problem.column);
        if (json_is_null(value)) /* what clients send for nothing, as in a member */
                return 0;
        if (!json_is_object(value)) {
                json_decref(value);
                return bus_error_set(error, BUS_ERROR_INVALID, "The JSON body must be an object");
        }
        *ret = value;
        return 0;
}
