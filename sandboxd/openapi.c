/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/openapi.h"

#include <ctype.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/openapi-schema.h"

/* Everything here walks tables. Functions that return int give 0, or -1 for no memory: the JSON library tells no more,
 * and takes a NULL that is to be set for a failure, so that calls can be chained without a check each. */

#define JSON_TYPE "application/json"
#define RAW_TYPE "application/octet-stream"
#define SSE_TYPE "text/event-stream"

static const char *segment_end(const char *p) {
        return p + strcspn(p, "/");
}

/* "/sandboxes/:id/exec" -> "/sandboxes/{id}/exec" */
static char *template_of_path(const char *prefix, const char *path) {
        char *text = malloc(strlen(prefix) + 2 * strlen(path) + 1), *q;

        if (!text)
                return NULL;
        q = stpcpy(text, prefix);
        for (const char *p = path; *p;) {
                const char *name, *end;

                *q++ = *p++;
                name = p + (*p == ':' || *p == '*');
                end = segment_end(p);
                if (name > p)
                        *q++ = '{';
                q = mempcpy(q, name, (size_t) (end - name));
                if (name > p)
                        *q++ = '}';
                p = end;
        }
        *q = 0;
        return text;
}

/* "getSandboxesByIdFilesRaw": as unique as method and path are; other tables than the first have their name before it. */
static json_t *operation_id(const RouteTable *table, const Route *route) {
        char text[256];
        size_t n = 0;

        if (table != route_tables)
                n = (size_t) (stpcpy(text, table->dialect->name) - text);
        for (const char *p = route->method; *p; p++)
                text[n++] = (char) tolower(*p);
        for (const char *p = route->path; *p && n < sizeof text - 3; p++)
                if (*p == ':' || *p == '*') {
                        text[n++] = 'B';
                        text[n++] = 'y';
                } else if (isalnum(*p))
                        text[n++] = isalnum(p[-1]) ? *p : (char) toupper(*p);
        return json_stringn(text, n);
}

/* What a path is about: the segment behind /sandboxes/:id, if something is below it, or else the first one. */
static json_t *tag_of_route(const RouteTable *table, const Route *route) {
        const char *rest = startswith(route->path, "/sandboxes/:id/"), *end;
        size_t n;

        if (!rest)
                return json_stringn(route->path + 1, (size_t) (segment_end(route->path + 1) - route->path - 1));
        end = segment_end(rest);
        n = (size_t) (end - route->path);
        for (size_t i = 0; i < table->n_routes; i++)
                if (strncmp(table->routes[i].path, route->path, n) == 0 && table->routes[i].path[n] == '/')
                        return json_stringn(rest, (size_t) (end - rest));
        return json_string("sandboxes");
}

/* --- what goes in */

static bool takes_body(const Route *route) {
        return streq(route->method, "POST") || streq(route->method, "PUT") || streq(route->method, "PATCH");
}

/* What a query can carry: everything is text there. */
static bool fits_query(const JsonField *f) {
        return f->type == JSON_FIELD_STRING || f->type == JSON_FIELD_INT || f->type == JSON_FIELD_NUMBER ||
               f->type == JSON_FIELD_BOOL;
}

static bool in_query(const Route *route, const JsonField *f) {
        return (!takes_body(route) || route->flags & ROUTE_BODY_STREAM) && fits_query(f);
}

static bool is_required(const JsonTable *top, const JsonField *f) {
        return f->flags & JSON_FIELD_MANDATORY && !(top->optional && streq(top->optional, f->name));
}

static int add_parameter(json_t *parameters, const char *where, const char *name, size_t n, bool required,
                         json_t *schema) {
        return json_array_append_new(parameters, json_pack("{s:s#, s:s, s:b, s:o}", "name", name, (int) n, "in", where,
                                                           "required", (int) required, "schema", schema));
}

static json_t *path_value_schema(void) {
        return json_pack("{s:s}", "type", "string");
}

static int add_path_parameters(json_t *parameters, const Route *route) {
        int r = 0;

        for (const char *p = route->path; r >= 0 && *p == '/'; p = segment_end(p + 1))
                if (p[1] == ':' || p[1] == '*')
                        r = add_parameter(parameters, "path", p + 2, (size_t) (segment_end(p + 2) - p - 2),
                                          /* required= */ true, path_value_schema());
        return r;
}

static int add_query_parameters(json_t *parameters, const Route *route) {
        int r = 0;

        for (const JsonTable *t = route->input; t; t = t->more)
                for (size_t i = 0; r >= 0 && i < t->n_fields; i++) {
                        const JsonField *f = t->fields + i;

                        if (in_query(route, f))
                                r = add_parameter(parameters, "query", f->name, strlen(f->name),
                                                  is_required(route->input, f), openapi_field_schema(f));
                }
        return r;
}

static int add_key_parameter(json_t *parameters) {
        return json_array_append_new(parameters,
                                     json_pack("{s:s, s:s, s:b, s:s, s:{s:s, s:i, s:i}}", "name", "Idempotency-Key",
                                               "in", "header", "required", 0, "description",
                                               "Visible ASCII of the client's choice: the same request with the same key makes "
                                               "nothing a second time, but is answered as the first", "schema", "type",
                                               "string", "minLength", 1, "maxLength", (int) IDEMPOTENCY_KEY_MAX));
}

static int add_header_parameter(json_t *parameters, const char *name) {
        return add_parameter(parameters, "header", name, strlen(name), /* required= */ true,
                             json_pack("{s:s, s:i, s:I, s:s}", "type", "integer", "minimum", 0, "maximum",
                                       (json_int_t) INT64_MAX, "x-out-of-range", "refused"));
}

static int add_parameters(json_t *operation, const Route *route) {
        json_t *parameters = json_array();

        if (add_path_parameters(parameters, route) < 0 || add_query_parameters(parameters, route) < 0 ||
            (route->flags & ROUTE_CREATES && add_key_parameter(parameters) < 0) ||
            (route->header && add_header_parameter(parameters, route->header) < 0)) {
                json_decref(parameters);
                return -1;
        }
        return json_object_set_new(operation, "parameters", parameters);
}

static int fill_body(const Route *route, json_t *properties, json_t *required) {
        int r = 0;

        for (const JsonTable *t = route->input; t; t = t->more)
                for (size_t i = 0; r >= 0 && i < t->n_fields; i++) {
                        const JsonField *f = t->fields + i;

                        if (in_query(route, f))
                                continue;
                        r = json_object_set_new(properties, f->name, openapi_field_schema(f));
                        if (r >= 0 && is_required(route->input, f))
                                r = json_array_append_new(required, json_string(f->name));
                }
        return r;
}

static json_t *json_content(json_t *schema) {
        return json_pack("{s:{s:o}}", JSON_TYPE, "schema", schema);
}

/* Also a GET's, for what no query can carry: such members come in a body there, too. */
static int add_json_body(json_t *operation, const Route *route) {
        json_t *properties = json_object(), *required = json_array();
        json_t *schema = json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
        bool must;

        if (!schema || fill_body(route, properties, required) < 0) {
                json_decref(schema);
                return -1;
        }
        if (json_object_size(properties) == 0) {
                json_decref(schema);
                return 0;
        }
        must = json_array_size(required) > 0;
        return json_object_set_new(operation, "requestBody",
                                   json_pack("{s:b, s:s, s:o}", "required", (int) must, "description",
                                             "Members that are not named here are ignored; null counts as absent. "
                                             "Every member may stand in the query instead.",
                                             "content", json_content(schema)));
}

static int add_request_body(json_t *operation, const Route *route) {
        if (!(route->flags & ROUTE_BODY_STREAM))
                return route->input ? add_json_body(operation, route) : 0;
        return json_object_set_new(operation, "requestBody",
                                   json_pack("{s:b, s:{s:{s:{}}}}", "required", 0, "content", RAW_TYPE, "schema"));
}

/* --- what comes out */

static json_t *reply_content(const char *reply) {
        const char *events = startswith(reply, "events:");

        if (streq(reply, "bytes"))
                return json_pack("{s:{s:{}}}", RAW_TYPE, "schema");
        if (events)
                return json_pack("{s:{s:o}}", SSE_TYPE, "schema", openapi_type_schema(events));
        return json_content(openapi_type_schema(reply));
}

static int add_success(json_t *responses, const Route *route) {
        const char *reply = route->reply;

        if (!reply)
                return json_object_set_new(responses, "200", json_pack("{s:s}", "description", "Done"));
        if (streq(reply, "socket"))
                return json_object_set_new(responses, "101", json_pack("{s:s}", "description", "A WebSocket"));
        if (streq(reply, "none"))
                return json_object_set_new(responses, "204", json_pack("{s:s}", "description", "Done"));
        return json_object_set_new(responses, "200",
                                   json_pack("{s:s, s:o}", "description",
                                             startswith(reply, "events:") ? "Each line \"data: \" has one of these"
                                                                          : "Done",
                                             "content", reply_content(reply)));
}

static bool needs_token(const Route *route) {
        return !(route->flags & ROUTE_NO_AUTH);
}

static bool has_path_value(const Route *route) {
        return strchr(route->path, ':');
}

static bool has_input(const Route *route) {
        return route->input;
}

static bool changes_object(const Route *route) {
        return has_path_value(route) && !streq(route->method, "GET");
}

/* Which errors a route can give, as far as a client is to expect them; "default" stands for the others. */
static const struct {
        const char *status, *meaning;
        bool (*expected)(const Route *route);
} errors[] = {
        { "400",     "A field is missing or cannot be meant; the text names it", has_input      },
        { "401",     "No token was given",                                       needs_token    },
        { "403",     "The token is wrong, or this is not allowed",               needs_token    },
        { "404",     "No such object",                                           has_path_value },
        { "409",     "The object is in another state",                           changes_object },
        { "413",     "The body or a member is too large",                        takes_body     },
        { "429",     "A limit is reached",                                       needs_token    },
        { "503",     "A service is not available; try again",                    needs_token    },
        { "default", "Any other error",                                          NULL           },
};

static json_t *error_response(const char *meaning) {
        return json_pack("{s:s, s:o}", "description", meaning, "content",
                         json_content(json_pack("{s:s}", "$ref", "#/components/schemas/Error")));
}

static json_t *make_error_responses(void) {
        json_t *responses = json_object();

        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (json_object_set_new(responses, errors[i].status, error_response(errors[i].meaning)) < 0) {
                        json_decref(responses);
                        return NULL;
                }
        return responses;
}

static int add_responses(json_t *operation, const Route *route) {
        json_t *responses = json_object();
        int r;

        r = add_success(responses, route);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(errors); i++) {
                if (!errors[i].expected || errors[i].expected(route))
                        r = json_object_set_new(responses, errors[i].status,
                                                json_pack("{s:o}", "$ref", json_sprintf("#/components/responses/%s",
                                                                                        errors[i].status)));
        }
        if (r < 0) {
                json_decref(responses);
                return r;
        }
        return json_object_set_new(operation, "responses", responses);
}

/* --- the whole */

static json_t *make_operation(const RouteTable *table, const Route *route) {
        json_t *operation = json_pack("{s:o, s:s, s:[o]}", "operationId", operation_id(table, route), "summary", route->help,
                                      "tags", tag_of_route(table, route));

        if (!operation || add_parameters(operation, route) < 0 || add_request_body(operation, route) < 0 ||
            add_responses(operation, route) < 0 ||
            (!needs_token(route) && json_object_set_new(operation, "security", json_array()) < 0)) {
                json_decref(operation);
                return NULL;
        }
        return operation;
}

static int add_route(json_t *paths, const RouteTable *table, const char *prefix, const Route *route) {
        _cleanup_free_ char *path = template_of_path(prefix, route->path);
        char method[16] = "";
        json_t *item;

        if (!path)
                return -1;
        for (size_t i = 0; route->method[i] && i < sizeof method - 1; i++)
                method[i] = (char) tolower(route->method[i]);
        item = json_object_get(paths, path);
        if (!item) {
                item = json_object();
                if (json_object_set_new(paths, path, item) < 0)
                        return -1;
        }
        return json_object_set_new(item, method, make_operation(table, route));
}

static bool has_own_row(const RouteTable *table, const char *path, const char *method) {
        for (size_t i = 0; i < table->n_routes; i++)
                if (streq(table->routes[i].path, path) && streq(table->routes[i].method, method))
                        return true;
        return false;
}

/* The document knows no row for any method: one for each that it can name. */
static int add_routes(json_t *paths, const RouteTable *table, const char *prefix, const Route *route) {
        static const char *const methods[] = { "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT" };
        int r = 0;

        if (!streq(route->method, "*"))
                return add_route(paths, table, prefix, route);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(methods); i++) {
                Route one = *route;

                one.method = methods[i];
                if (!has_own_row(table, route->path, methods[i]))
                        r = add_route(paths, table, prefix, &one);
        }
        return r;
}

static json_t *make_paths(const char *prefix) {
        json_t *paths = json_object();
        int r = 0;

        for (size_t t = 0; t < n_route_tables; t++)
                for (size_t i = 0; r >= 0 && i < route_tables[t].n_routes; i++)
                        r = add_routes(paths, route_tables + t, t == 0 ? prefix : route_tables[t].prefix,
                                       route_tables[t].routes + i);
        if (r < 0) {
                json_decref(paths);
                return NULL;
        }
        return paths;
}

/* By its example: whatever the dialect makes of an error is what its schema says. */
static json_t *error_schema(const Dialect *dialect) {
        _cleanup_(json_decrefp) json_t *example = dialect->envelope(400, NULL, "text");
        json_t *properties = json_object(), *required = json_array(), *value;
        const char *key;

        json_object_foreach(example, key, value) {
                (void) json_object_set_new(properties, key, json_pack("{s:s}", "type", "string"));
                (void) json_array_append_new(required, json_string(key));
        }
        return json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
}

static json_t *make_schemas(void) {
        json_t *schemas = json_pack("{s:o}", "Error", error_schema(route_tables[0].dialect));
        int r = schemas ? 0 : -1;

        for (size_t i = 0; r >= 0 && i < n_openapi_schemas; i++)
                r = json_object_set_new(schemas, openapi_schemas[i].name,
                                        openapi_object_schema(openapi_schemas[i].members));
        if (r < 0) {
                json_decref(schemas);
                return NULL;
        }
        return schemas;
}

json_t *openapi_make(const char *prefix) {
        return json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:o, s:o, s:{s:{s:s, s:s}}}, s:[{s:[]}]}",
                         "openapi", "3.1.0",
                         "info", "title", "sandboxd", "version", PACKAGE_VERSION,
                         "paths", make_paths(prefix),
                         "components", "schemas", make_schemas(), "responses", make_error_responses(),
                         "securitySchemes", "token", "type", "http", "scheme", "bearer",
                         "security", "token");
}

int openapi_print(void) {
        _cleanup_(json_decrefp) json_t *document = openapi_make(route_tables[0].prefix);

        if (!document || json_dumpf(document, stdout, JSON_INDENT(1)) < 0)
                return 1;
        putchar('\n');
        return fflush(stdout) == 0 ? 0 : 1;
}
