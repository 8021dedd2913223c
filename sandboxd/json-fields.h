/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* The input of every JSON route is a table; the same rows make the OpenAPI document and the generated bad-input tests.
 * null counts as absent, unknown keys are ignored (the clients send some). Text that came from a query is coerced to
 * the numbers and booleans that the row wants. */

typedef enum JsonFieldType {
        JSON_FIELD_STRING,      /* char * */
        JSON_FIELD_INT,         /* int64_t */
        JSON_FIELD_NUMBER,      /* double */
        JSON_FIELD_BOOL,        /* bool */
        JSON_FIELD_STRV,        /* char **, an array of strings */
        JSON_FIELD_STRING_OR_STRV, /* char **; a string becomes one element, *_given tells by flag below */
        JSON_FIELD_MAP,         /* char ** of "KEY=VALUE", an object of strings */
        JSON_FIELD_OBJECT,      /* json_t *, a reference */
        JSON_FIELD_ARRAY,       /* json_t *, a reference */
        JSON_FIELD_TEXT,        /* json_t *, a reference to a string: for those too large to copy */
        JSON_FIELD_VALUE,       /* json_t *, a reference to whatever it is: the handler checks it, schema describes it */
} JsonFieldType;

typedef enum JsonFieldFlags {
        JSON_FIELD_MANDATORY = 1 << 0,
        JSON_FIELD_CLAMP = 1 << 1,       /* out of range: the nearest bound; else refused with the field's name */
        JSON_FIELD_LENIENT = 1 << 2,     /* wrong type: as if absent; else refused with the field's name */
        JSON_FIELD_NONEMPTY = 1 << 3,    /* strings and arrays */
        JSON_FIELD_WAS_STRING = 1 << 4,  /* (STRING_OR_STRV) the bool right behind the char ** says it was a string */
} JsonFieldFlags;

typedef struct JsonField {
        const char *name;
        JsonFieldType type;
        size_t offset;
        unsigned flags;
        double minimum, maximum;         /* of numbers; equal: no bounds. Of strings: maximum bytes if > 0 */
        const char *help;
        const char *schema;              /* what OpenAPI says of it instead of what the type gives, as JSON; may be NULL */
} JsonField;

/* All that a route takes (struct Route .input). more: rows of another structure that the route reads along; optional
 * names a field of those that is mandatory elsewhere and has a default here. */
typedef struct JsonTable {
        const JsonField *fields;
        size_t n_fields;
        const struct JsonTable *more;
        const char *optional;
} JsonTable;

#define JSON_TABLE(rows) { .fields = (rows), .n_fields = ELEMENTSOF(rows) }

/* Fields that are absent keep what target holds: fill in the defaults before. Errors are BUS_ERROR_INVALID with texts
 * like "command is required" and "timeout must be an integer from 1 to 300". */
int json_fields_read(json_t *object, const JsonField *fields, size_t n_fields, void *target, sd_bus_error *error);
/* The table's own rows; those of .more belong to another target. */
int json_table_read(json_t *object, const JsonTable *table, void *target, sd_bus_error *error);
void json_fields_done(const JsonField *fields, size_t n_fields, void *target);
