/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/request.h"
#include "sandboxd/spool.h"

/* A JSON reply some of whose strings are too large for memory: they are escaped while they are sent. */
typedef struct JsonBody JsonBody;

typedef enum JsonStringForm {
        JSON_STRING_TEXT,       /* UTF-8, lossy */
        JSON_STRING_BASE64,
} JsonStringForm;

int json_body_new(JsonBody **ret);
JsonBody *json_body_free(JsonBody *b);
DEFINE_CLEANUP(JsonBody *, json_body_free)

/* Bare JSON text. */
int json_body_add(JsonBody *b, const char *format, ...) _printf_(2, 3);
/* The bytes of a spool between two positions, as a string with its quotes. What fell into the gap is left out. */
int json_body_add_spool(JsonBody *b, Spool *spool, uint64_t from, uint64_t to, JsonStringForm form);
/* The first size bytes of a regular file; takes fd over, also on failure. */
int json_body_add_file(JsonBody *b, int fd, uint64_t size, JsonStringForm form);

/* Replies at once or as a stream; takes b over, also on failure. */
int json_body_reply(JsonBody *b, Request *r, unsigned status);
