/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/json-fields.h"

/* New references; NULL: no memory, or a text that says nonsense. */

/* Of what struct Route .reply and the members of a schema may say of a type. */
json_t *openapi_type_schema(const char *text);
/* Of "name:type name?:type". */
json_t *openapi_object_schema(const char *members);
/* Of a field of a request, with its policy. */
json_t *openapi_field_schema(const JsonField *field);
