/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/json-fields.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* One reader a type. It tells three things apart: a value that is taken, one of another type (-EINVAL, which the
 * field's flags may forgive), and one that is refused with a text of its own. */

/* Beyond this a double no longer tells neighbouring integers apart. */
#define DOUBLE_INTEGER_MAX 9007199254740992.0

static void *field_target(const JsonField *f, void *target) {
        return (char *) target + f->offset;
}

static bool has_bounds(const JsonField *f) {
        return f->minimum != f->maximum;
}

static int refuse_type(const JsonField *f, sd_bus_error *error) {
        static const char *const types[] = {
                [JSON_FIELD_STRING] = "a string",
                [JSON_FIELD_INT] = "an integer",
                [JSON_FIELD_NUMBER] = "a number",
                [JSON_FIELD_BOOL] = "true or false",
                [JSON_FIELD_STRV] = "an array of strings",
                [JSON_FIELD_STRING_OR_STRV] = "a string or an array of strings",
                [JSON_FIELD_MAP] = "an object of strings",
                [JSON_FIELD_OBJECT] = "an object",
                [JSON_FIELD_ARRAY] = "an array",
                [JSON_FIELD_TEXT] = "a string",
                [JSON_FIELD_VALUE] = "something else",
        };
        bool number = f->type == JSON_FIELD_INT || f->type == JSON_FIELD_NUMBER;

        if (number && has_bounds(f))
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must be %s from %.15g to %.15g", f->name,
                                     types[f->type], f->minimum, f->maximum);
        return bus_error_set(error, BUS_ERROR_INVALID, "%s must be %s", f->name, types[f->type]);
}

/* -EINVAL: another type. -ERANGE: a number, but not one that fits; *ret is then the nearest that does. */
static int to_integer(json_t *value, int64_t *ret) {
        double real;
        int r;

        if (json_is_integer(value)) {
                *ret = json_integer_value(value);
                return 0;
        }
        if (json_is_string(value)) {
                r = parse_i64(json_string_value(value), ret);
                if (r == -ERANGE)
                        *ret = *json_string_value(value) == '-' ? INT64_MIN : INT64_MAX;
                return r;
        }
        if (!json_is_real(value))
                return -EINVAL;
        real = json_real_value(value);
        if (!isfinite(real))
                return -EINVAL;
        if (fabs(real) > DOUBLE_INTEGER_MAX) {
                *ret = real < 0 ? INT64_MIN : INT64_MAX;
                return -ERANGE;
        }
        if (real != trunc(real))
                return -EINVAL;
        *ret = (int64_t) real;
        return 0;
}

static int read_int(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        int64_t number;
        int r;

        r = to_integer(value, &number);
        if (r == -EINVAL)
                return r;
        if (has_bounds(f) && ((double) number < f->minimum || (double) number > f->maximum)) {
                number = (double) number < f->minimum ? (int64_t) f->minimum : (int64_t) f->maximum;
                r = -ERANGE;
        }
        if (r == -ERANGE && !(f->flags & JSON_FIELD_CLAMP))
                return refuse_type(f, error);
        *(int64_t *) target = number;
        return 0;
}

static int read_number(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        double number;

        if (json_is_string(value)) {
                int r = parse_double(json_string_value(value), &number);

                if (r == -ERANGE)
                        return refuse_type(f, error);
                if (r < 0)
                        return r;
        } else if (json_is_number(value))
                number = json_number_value(value);
        else
                return -EINVAL;
        if (!isfinite(number))
                return -EINVAL;

        if (has_bounds(f) && (number < f->minimum || number > f->maximum)) {
                if (!(f->flags & JSON_FIELD_CLAMP))
                        return refuse_type(f, error);
                number = CLAMP(number, f->minimum, f->maximum);
        }
        *(double *) target = number;
        return 0;
}

static int read_bool(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        (void) f;
        (void) error;
        if (json_is_string(value))
                return parse_boolean(json_string_value(value), target);
        if (!json_is_boolean(value))
                return -EINVAL;
        *(bool *) target = json_is_true(value);
        return 0;
}

/* The parser refuses NUL already, but a JSON value can also come from elsewhere. */
static int check_text(json_t *value, const JsonField *f, sd_bus_error *error) {
        size_t n = json_string_length(value);

        if (memchr(json_string_value(value), 0, n))
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must not contain NUL", f->name);
        if (f->maximum > 0 && (double) n > f->maximum)
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must be at most %.15g bytes long", f->name,
                                     f->maximum);
        return 0;
}

static int read_string(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        int r;

        if (!json_is_string(value))
                return -EINVAL;
        r = check_text(value, f, error);
        if (r < 0)
                return r;
        if (f->flags & JSON_FIELD_NONEMPTY && json_string_length(value) == 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must not be empty", f->name);
        return free_and_strdup(target, json_string_value(value));
}

static int replace_strv(char ***target, char **value) {
        strv_free(*target);
        *target = value;
        return 0;
}

static int new_strv(size_t n, char ***ret) {
        *ret = new0(char *, n + 1);
        return *ret ? 0 : -ENOMEM;
}

static int read_strv(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        _cleanup_strv_free_ char **v = NULL;
        json_t *element;
        size_t i;
        int r;

        if (!json_is_array(value))
                return -EINVAL;
        if (f->flags & JSON_FIELD_NONEMPTY && json_array_size(value) == 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must not be empty", f->name);
        r = new_strv(json_array_size(value), &v);
        if (r < 0)
                return r;
        json_array_foreach(value, i, element) {
                if (!json_is_string(element))
                        return -EINVAL;
                r = check_text(element, f, error);
                if (r < 0)
                        return r;
                v[i] = strdup(json_string_value(element));
                if (!v[i])
                        return -ENOMEM;
        }
        return replace_strv(target, TAKE_PTR(v));
}

static int read_string_or_strv(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        _cleanup_strv_free_ char **v = NULL;
        bool *was_string = (bool *) ((char *) target + sizeof(char **));
        int r;

        if (json_is_string(value)) {
                r = new_strv(1, &v);
                if (r >= 0)
                        r = read_string(value, f, v, error);
                if (r >= 0)
                        r = replace_strv(target, TAKE_PTR(v));
        } else
                r = read_strv(value, f, target, error);
        if (r >= 0 && f->flags & JSON_FIELD_WAS_STRING)
                *was_string = json_is_string(value);
        return r;
}

static int read_map(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        _cleanup_strv_free_ char **v = NULL;
        const char *key;
        json_t *element;
        size_t n = 0;
        int r;

        if (!json_is_object(value))
                return -EINVAL;
        r = new_strv(json_object_size(value), &v);
        if (r < 0)
                return r;
        json_object_foreach(value, key, element) {
                if (!json_is_string(element))
                        return -EINVAL;
                if (!*key || strchr(key, '='))
                        return bus_error_set(error, BUS_ERROR_INVALID, "%s has a key that is empty or contains '='",
                                             f->name);
                r = check_text(element, f, error);
                if (r < 0)
                        return r;
                if (asprintf(v + n, "%s=%s", key, json_string_value(element)) < 0) {
                        v[n] = NULL;
                        return -ENOMEM;
                }
                n++;
        }
        return replace_strv(target, TAKE_PTR(v));
}

static int replace_json(json_t **target, json_t *value) {
        json_decref(*target);
        *target = json_incref(value);
        return 0;
}

static int read_object(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        (void) f;
        (void) error;
        return json_is_object(value) ? replace_json(target, value) : -EINVAL;
}

static int read_array(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        if (!json_is_array(value))
                return -EINVAL;
        if (f->flags & JSON_FIELD_NONEMPTY && json_array_size(value) == 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must not be empty", f->name);
        return replace_json(target, value);
}

static int read_text(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        int r;

        if (!json_is_string(value))
                return -EINVAL;
        r = check_text(value, f, error);
        return r < 0 ? r : replace_json(target, value);
}

static int read_value(json_t *value, const JsonField *f, void *target, sd_bus_error *error) {
        (void) f;
        (void) error;
        return replace_json(target, value);
}

/* -EINVAL without an error: the value is of another type. */
static int (*const readers[])(json_t *value, const JsonField *f, void *target, sd_bus_error *error) = {
        [JSON_FIELD_STRING] = read_string,
        [JSON_FIELD_INT] = read_int,
        [JSON_FIELD_NUMBER] = read_number,
        [JSON_FIELD_BOOL] = read_bool,
        [JSON_FIELD_STRV] = read_strv,
        [JSON_FIELD_STRING_OR_STRV] = read_string_or_strv,
        [JSON_FIELD_MAP] = read_map,
        [JSON_FIELD_OBJECT] = read_object,
        [JSON_FIELD_ARRAY] = read_array,
        [JSON_FIELD_TEXT] = read_text,
        [JSON_FIELD_VALUE] = read_value,
};

static int read_field(json_t *object, const JsonField *f, void *target, sd_bus_error *error) {
        _cleanup_(sd_bus_error_free) sd_bus_error detail = SD_BUS_ERROR_NULL;
        json_t *value = json_object_get(object, f->name);
        int r;

        if (!value || json_is_null(value)) {
                if (f->flags & JSON_FIELD_MANDATORY)
                        return bus_error_set(error, BUS_ERROR_INVALID, "%s is required", f->name);
                return 0;
        }
        r = readers[f->type](value, f, field_target(f, target), &detail);
        if (r >= 0 || r == -ENOMEM)
                return r;
        if (sd_bus_error_is_set(&detail))
                return sd_bus_error_move(error, &detail);
        if (f->flags & JSON_FIELD_LENIENT)
                return 0;
        return refuse_type(f, error);
}

int json_fields_read(json_t *object, const JsonField *fields, size_t n_fields, void *target, sd_bus_error *error) {
        for (size_t i = 0; i < n_fields; i++) {
                int r = read_field(object, fields + i, target, error);

                if (r < 0)
                        return r;
        }
        return 0;
}

int json_table_read(json_t *object, const JsonTable *table, void *target, sd_bus_error *error) {
        return json_fields_read(object, table->fields, table->n_fields, target, error);
}

void json_fields_done(const JsonField *fields, size_t n_fields, void *target) {
        for (size_t i = 0; i < n_fields; i++) {
                void **p = field_target(fields + i, target);

                switch (fields[i].type) {
                case JSON_FIELD_STRING:
                        free(*p);
                        break;
                case JSON_FIELD_STRV:
                case JSON_FIELD_STRING_OR_STRV:
                case JSON_FIELD_MAP:
                        strv_free(*p);
                        break;
                case JSON_FIELD_OBJECT:
                case JSON_FIELD_ARRAY:
                case JSON_FIELD_TEXT:
                case JSON_FIELD_VALUE:
                        json_decref(*p);
                        break;
                case JSON_FIELD_INT:
                case JSON_FIELD_NUMBER:
                case JSON_FIELD_BOOL:
                        continue;
                }
                *p = NULL;
        }
}
