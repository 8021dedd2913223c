/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/openapi-schema.h"
#include "sandboxd/openapi.h"
#include "tests/test.h"

static json_t *walk(json_t *document, const char *path) {
        _cleanup_free_ char *copy = strdup(path);
        char *rest = copy, *word;

        while (document && (word = strsep(&rest, " ")))
                document = json_object_get(document, word);
        return document;
}

static const char *text_at(json_t *document, const char *path) {
        return json_string_value(walk(document, path));
}

TEST(types) {
        static const struct {
                const char *text, *schema;
        } cases[] = {
                { "string",          "{\"type\":\"string\"}"                                                        },
                { "integer[]",       "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}"                        },
                { "map",             "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"         },
                { "any",             "{}"                                                                           },
                { "Sandbox",         "{\"$ref\":\"#/components/schemas/Sandbox\"}"                                  },
                { "Sandbox[]|null",  "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Sandbox\"}},"
                                     "{\"type\":\"null\"}]}"                                                        },
                { "Nothing",         NULL                                                                           },
                { "string|Nothing",  NULL                                                                           },
                { "",                NULL                                                                           },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *schema = openapi_type_schema(cases[i].text);
                _cleanup_free_ char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL;

                ASSERT_STREQ(text ?: "none", cases[i].schema ?: "none");
        }
}

TEST(objects) {
        _cleanup_(json_decrefp) json_t *schema = openapi_object_schema("id:string pid?:integer");

        ASSERT_STREQ(text_at(schema, "properties id type"), "string");
        ASSERT_STREQ(text_at(schema, "properties pid type"), "integer");
        ASSERT_EQ(json_array_size(walk(schema, "required")), 1);
        assert_null(openapi_object_schema("id"));
        assert_null(openapi_object_schema(":string"));
        assert_null(openapi_object_schema("id:Nothing"));
        assert_null(openapi_object_schema("id:string  pid:integer"));
}

TEST(schemas_are_sorted_and_make_sense) {
        for (size_t i = 0; i < n_openapi_schemas; i++) {
                _cleanup_(json_decrefp) json_t *schema = openapi_object_schema(openapi_schemas[i].members);

                if (!schema || (i > 0 && strcmp(openapi_schemas[i - 1].name, openapi_schemas[i].name) >= 0))
                        print_error("schema %s\n", openapi_schemas[i].name);
                ASSERT_NOT_NULL(schema);
                ASSERT_TRUE(i == 0 || strcmp(openapi_schemas[i - 1].name, openapi_schemas[i].name) < 0);
        }
}

/* A row that cannot be said would leave everybody without the document. */
TEST(each_reply_makes_sense) {
        for (size_t t = 0; t < n_route_tables; t++)
                for (size_t i = 0; i < route_tables[t].n_routes; i++) {
                        const Route *r = route_tables[t].routes + i;
                        _cleanup_(json_decrefp) json_t *schema = NULL;

                        if (!r->reply || streq(r->reply, "bytes") || streq(r->reply, "none") ||
                            streq(r->reply, "socket"))
                                continue;
                        schema = openapi_type_schema(startswith(r->reply, "events:") ?: r->reply);
                        if (!schema)
                                print_error("%s %s: no schema '%s'\n", r->method, r->path, r->reply);
                        ASSERT_NOT_NULL(schema);
                }
}

TEST(fields) {
        static const struct {
                JsonField field;
                const char *path, *expect;
        } cases[] = {
                { { "a", JSON_FIELD_INT, 0, JSON_FIELD_CLAMP, 1, 9, "" },    "x-out-of-range", "clamped" },
                { { "a", JSON_FIELD_INT, 0, 0, 1, 9, "" },                   "x-out-of-range", "refused" },
                { { "a", JSON_FIELD_INT, 0, 0, 0, 0, "" },                   "x-out-of-range", NULL      },
                { { "a", JSON_FIELD_BOOL, 0, JSON_FIELD_LENIENT, 0, 0, "" }, "x-wrong-type",   "ignored" },
                { { "a", JSON_FIELD_BOOL, 0, 0, 0, 0, "" },                  "x-wrong-type",   "refused" },
                { { "a", JSON_FIELD_STRV, 0, 0, 0, 0, "" },                  "items type",     "string"  },
                { { "a", JSON_FIELD_VALUE, 0, 0, 0, 0, "", "{\"type\":\"x\"}" }, "type",       "x"       },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *schema = openapi_field_schema(&cases[i].field);

                ASSERT_NOT_NULL(schema);
                ASSERT_STREQ(text_at(schema, cases[i].path) ?: "none", cases[i].expect ?: "none");
        }
}

TEST(document) {
        _cleanup_(json_decrefp) json_t *document = openapi_make("/other");
        json_t *create;

        ASSERT_NOT_NULL(document);
        create = walk(document, "paths /other/sandboxes post requestBody content application/json schema");
        ASSERT_STREQ(text_at(create, "properties memory x-out-of-range"), "clamped");
        ASSERT_EQ(json_integer_value(walk(create, "properties memory minimum")), 64);
        ASSERT_NOT_NULL(walk(document, "paths /openapi.json get"));
        ASSERT_EQ(json_array_size(walk(document, "paths /other/health get security")), 0);
        ASSERT_NOT_NULL(walk(document, "paths /other/health get security"));
        ASSERT_NOT_NULL(walk(document, "paths /other/sandboxes/{id}/files/raw put requestBody content "
                                       "application/octet-stream"));
        ASSERT_NOT_NULL(walk(document, "paths /other/sandboxes/{id}/exec/stream post responses 200 content "
                                       "text/event-stream"));
        ASSERT_NOT_NULL(walk(document, "components schemas Error properties error"));
}

/* command has a default where a terminal is opened, and only there. */
TEST(optional_of_another_table) {
        static const struct {
                const char *path;
                size_t n_required;
        } cases[] = {
                { "paths /x/sandboxes/{id}/exec post requestBody content application/json schema required",      1 },
                { "paths /x/sandboxes/{id}/terminals post requestBody content application/json schema required", 0 },
        };
        _cleanup_(json_decrefp) json_t *document = openapi_make("/x");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(json_array_size(walk(document, cases[i].path)), cases[i].n_required);
}
