/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* What an HTTP/1.1 server answers, when the server is a stranger: the head of a response and the framing of its body.
 * Nothing is repaired: whatever two readers could understand in two ways is refused. */

#define RESPONSE_HEAD_MAX (32 * KiB)
#define RESPONSE_FIELDS_MAX 128U

typedef struct ResponseField {
        const char *name, *value;
} ResponseField;

typedef enum BodyFraming {
        BODY_NONE,
        BODY_LENGTH,
        BODY_CHUNKED,
        BODY_UNTIL_CLOSE,
} BodyFraming;

/* The strings are in the text that was parsed. */
typedef struct ResponseHead {
        unsigned status;
        bool keeps_alive;
        BodyFraming framing;
        uint64_t length;        /* what Content-Length says, also where there is no body (HEAD); UINT64_MAX: nothing */
        ResponseField fields[RESPONSE_FIELDS_MAX];
        size_t n_fields;
} ResponseHead;

/* Takes the head at text apart, in place; n bytes of it have arrived, text[n] can be written. Bytes that it took, 0: it is
 * not whole yet; -EBADMSG, -E2BIG: it never will be. */
ssize_t response_parse(char *text, size_t n, bool is_head_request, ResponseHead *ret);
/* The only field of that name; NULL: none. */
const char *response_field(const ResponseHead *h, const char *name);
/* Whether a list of tokens, "keep-alive, Upgrade", has this one. */
bool token_list_contains(const char *list, const char *token);

/* Where in a chunked body we are. Starts as {}. */
typedef struct ChunkDecoder {
        int state;
        uint64_t left;
        size_t line;
        bool done;
} ChunkDecoder;

/* Looks at n bytes: *ret_data, *ret_size is a piece of the body in them, maybe none. Bytes that were used up; call again
 * with the rest. done: the body has ended there. -EBADMSG: it is not chunked. */
ssize_t chunk_decode(ChunkDecoder *d, const char *bytes, size_t n, const char **ret_data, size_t *ret_size);
