/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/openapi-schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/openapi.h"

/* JSON Schema out of the two little languages of our tables: the columns of a JsonField, and the words of .reply and
 * openapi-schemas.c. What a schema cannot say, how a value is treated that does not fit, is in the description for
 * people and in x-wrong-type and x-out-of-range for programs; the test of bad input reads these. */

static json_t *type_schema(const char *type) {
        return json_pack("{s:s}", "type", type);
}

static json_t *array_schema(json_t *items) {
        return items ? json_pack("{s:s, s:o}", "type", "array", "items", items) : NULL;
}

static json_t *map_schema(void) {
        return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type", "string");
}

static bool schema_exists(const char *name) {
        for (size_t i = 0; i < n_openapi_schemas; i++)
                if (streq(openapi_schemas[i].name, name))
                        return true;
        return false;
}

/* One word. An unknown name is a mistake of the table: no document then, and the unit test tells. */
static json_t *word_schema(char *word) {
        static const char *const types[] = { "boolean", "integer", "null", "number", "object", "string" };
        size_t n = strlen(word);

        if (endswith(word, "[]")) {
                word[n - 2] = 0;
                return array_schema(word_schema(word));
        }
        if (streq(word, "any"))
                return json_object();
        if (streq(word, "map"))
                return map_schema();
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (streq(types[i], word))
                        return type_schema(word);
        return schema_exists(word) ? json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", word)) : NULL;
}

json_t *openapi_type_schema(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *word;
        json_t *choices;

        if (!copy)
                return NULL;
        if (!strchr(copy, '|'))
                return word_schema(copy);
        choices = json_array();
        while ((word = strsep(&rest, "|")))
                if (json_array_append_new(choices, word_schema(word)) < 0) {
                        json_decref(choices);
                        return NULL;
                }
        return json_pack("{s:o}", "anyOf", choices);
}

/* "name:type" or "name?:type" */
static int add_member(char *text, json_t *properties, json_t *required) {
        char *type = strchr(text, ':');
        bool optional;

        if (!type || type == text)
                return -1;
        *type++ = 0;
        optional = type[-2] == '?';
        if (optional)
                type[-2] = 0;
        else if (json_array_append_new(required, json_string(text)) < 0)
                return -1;
        return json_object_set_new(properties, text, openapi_type_schema(type));
}

json_t *openapi_object_schema(const char *members) {
        json_t *properties = json_object(), *required = json_array();
        json_t *schema = json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
        _cleanup_free_ char *copy = strdup(members);
        char *rest = copy, *member;
        int r = schema && copy ? 0 : -1;

        while (r >= 0 && (member = strsep(&rest, " ")))
                r = add_member(member, properties, required);
        if (r < 0) {
                json_decref(schema);
                return NULL;
        }
        return schema;
}

static json_t *field_type(const JsonField *f) {
        if (f->schema)
                return json_loads(f->schema, 0, NULL);
        switch (f->type) {
        case JSON_FIELD_STRING:
        case JSON_FIELD_TEXT:
                return type_schema("string");
        case JSON_FIELD_INT:
                return type_schema("integer");
        case JSON_FIELD_NUMBER:
                return type_schema("number");
        case JSON_FIELD_BOOL:
                return type_schema("boolean");
        case JSON_FIELD_STRV:
                return array_schema(type_schema("string"));
        case JSON_FIELD_STRING_OR_STRV:
                return json_pack("{s:[o, o]}", "anyOf", type_schema("string"), array_schema(type_schema("string")));
        case JSON_FIELD_MAP:
                return map_schema();
        case JSON_FIELD_OBJECT:
                return type_schema("object");
        case JSON_FIELD_ARRAY:
                return type_schema("array");
        case JSON_FIELD_VALUE:
                return json_object();
        }
        return NULL;
}

static json_t *number_to_json(double x) {
        return x == floor(x) ? json_integer((json_int_t) x) : json_real(x);
}

/* Bounds of numbers; of strings the bytes, which no string of more characters can keep. */
static int add_bounds(json_t *schema, const JsonField *f) {
        bool number = f->type == JSON_FIELD_INT || f->type == JSON_FIELD_NUMBER;
        int r = 0;

        if (number && f->minimum != f->maximum) {
                r |= json_object_set_new(schema, "minimum", number_to_json(f->minimum));
                r |= json_object_set_new(schema, "maximum", number_to_json(f->maximum));
        } else if (f->type == JSON_FIELD_STRING && f->maximum > 0)
                r |= json_object_set_new(schema, "maxLength", number_to_json(f->maximum));
        if (f->flags & JSON_FIELD_NONEMPTY && f->type == JSON_FIELD_STRING)
                r |= json_object_set_new(schema, "minLength", json_integer(1));
        if (f->flags & JSON_FIELD_NONEMPTY && (f->type == JSON_FIELD_STRV || f->type == JSON_FIELD_ARRAY))
                r |= json_object_set_new(schema, "minItems", json_integer(1));
        return r;
}

json_t *openapi_field_schema(const JsonField *f) {
        const char *wrong = f->flags & JSON_FIELD_LENIENT ? "ignored" : "refused";
        const char *out = f->flags & JSON_FIELD_CLAMP ? "clamped" : "refused";
        json_t *schema = field_type(f);
        int r = 0;

        if (!schema)
                return NULL;
        r |= add_bounds(schema, f);
        r |= json_object_set_new(schema, "x-wrong-type", json_string(wrong));
        if (json_object_get(schema, "minimum"))
                r |= json_object_set_new(schema, "x-out-of-range", json_string(out));
        r |= json_object_set_new(schema, "description",
                                 json_sprintf("%s%s%s", f->help ?: "",
                                              f->flags & JSON_FIELD_LENIENT ? "; another type counts as absent" : "",
                                              f->flags & JSON_FIELD_CLAMP ? "; out of range: the nearest bound" : ""));
        if (r < 0) {
                json_decref(schema);
                return NULL;
        }
        return schema;
}
