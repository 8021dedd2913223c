/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/response.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/http-check.h"

/* The server is a program of a sandbox and may send anything, one byte at a time or without an end. A library for HTTP
 * would do more than is wanted here (addresses, redirects, cookies, TLS, thirty more libraries in a daemon that is started
 * for a request), and it could not pass on what it reads without keeping it. */

/* A line without its end in *ret_size; NULL: it is not whole. A lone LF ends one, as in every client: the head is written
 * anew for ours, so that nobody can take it for two lines. */
static char *next_line(char **p, const char *end, size_t *ret_size) {
        char *line = *p, *newline = memchr(line, '\n', (size_t) (end - line));

        if (!newline)
                return NULL;
        *p = newline + 1;
        *ret_size = (size_t) (newline - line);
        if (*ret_size > 0 && newline[-1] == '\r')
                --*ret_size;
        line[*ret_size] = 0;
        return line;
}

static bool text_is_clean(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (((unsigned char) s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
                        return false;
        return true;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK", also without a reason. */
static int parse_status_line(const char *line, size_t n, ResponseHead *h) {
        if (n < strlen("HTTP/1.1 200") || !startswith(line, "HTTP/1.") || (line[7] != '0' && line[7] != '1') ||
            line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
            (line[12] != 0 && line[12] != ' ') || !text_is_clean(line, n))
                return -EBADMSG;
        h->status = (unsigned) ((line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0');
        h->keeps_alive = line[7] == '1';
        return h->status < 100 || h->status > 599 ? -EBADMSG : 0;
}

static int parse_field(char *line, size_t n, ResponseHead *h) {
        char *colon = memchr(line, ':', n), *value, *end = line + n;

        if (!colon || !http_is_token(line, (size_t) (colon - line)))
                return -EBADMSG;
        *colon = 0;
        value = colon + 1 + strspn(colon + 1, " \t");
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                *--end = 0;
        if (!text_is_clean(value, (size_t) (end - value)))
                return -EBADMSG;
        if (h->n_fields == RESPONSE_FIELDS_MAX)
                return -E2BIG;
        h->fields[h->n_fields++] = (ResponseField) { line, value };
        return 0;
}

static size_t count_fields(const ResponseHead *h, const char *name, const char **ret_last) {
        size_t n = 0;

        for (size_t i = 0; i < h->n_fields; i++)
                if (strcasecmp(h->fields[i].name, name) == 0) {
                        *ret_last = h->fields[i].value;
                        n++;
                }
        return n;
}

const char *response_field(const ResponseHead *h, const char *name) {
        const char *value = NULL;

        return count_fields(h, name, &value) == 1 ? value : NULL;
}

bool token_list_contains(const char *list, const char *token) {
        size_t wanted = strlen(token);

        while (*list) {
                size_t n;

                list += strspn(list, ", \t");
                n = strcspn(list, ", \t");
                if (n == wanted && strncasecmp(list, token, n) == 0)
                        return true;
                list += n;
        }
        return false;
}

/* Servers and intermediaries have been at odds over each case that is refused here. */
static int find_framing(ResponseHead *h, bool is_head_request) {
        const char *length = NULL, *encoding = NULL, *connection = NULL;
        size_t n_lengths = count_fields(h, "Content-Length", &length);
        size_t n_encodings = count_fields(h, "Transfer-Encoding", &encoding);

        h->length = UINT64_MAX;
        if (n_lengths > 1 || n_encodings > 1 || (n_lengths > 0 && n_encodings > 0))
                return -EBADMSG;
        if (n_encodings > 0 && (!h->keeps_alive || strcasecmp(encoding, "chunked") != 0)) /* not of HTTP/1.0 */
                return -EBADMSG;
        if (n_lengths > 0 && (parse_u64(length, &h->length) < 0 || h->length > INT64_MAX))
                return -EBADMSG;
        for (size_t i = 0; i < h->n_fields; i++)
                if (strcasecmp(h->fields[i].name, "Connection") == 0) {
                        connection = h->fields[i].value;
                        if (token_list_contains(connection, "close"))
                                h->keeps_alive = false;
                }

        if (is_head_request || h->status < 200 || h->status == 204 || h->status == 304)
                h->framing = BODY_NONE;
        else if (n_encodings > 0)
                h->framing = BODY_CHUNKED;
        else if (n_lengths > 0)
                h->framing = h->length > 0 ? BODY_LENGTH : BODY_NONE;
        else {
                h->framing = BODY_UNTIL_CLOSE;
                h->keeps_alive = false;
        }
        return 0;
}

/* The end of the head is looked for before it is taken apart: what has no end is not changed. */
static char *find_end(char *text, size_t n) {
        for (char *p = text, *end = text + n; (p = memchr(p, '\n', (size_t) (end - p)));) {
                p++;
                if (p < end && *p == '\n')
                        return p + 1;
                if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
                        return p + 2;
        }
        return NULL;
}

ssize_t response_parse(char *text, size_t n, bool is_head_request, ResponseHead *ret) {
        char *end = find_end(text, n), *p = text, *line;
        size_t size;
        int r;

        if (!end) {
                /* what is certain already need not wait for the rest */
                if (strncmp(text, "HTTP/1.", MIN(n, strlen("HTTP/1."))) != 0)
                        return -EBADMSG;
                return n >= RESPONSE_HEAD_MAX ? -E2BIG : 0;
        }
        if ((size_t) (end - text) > RESPONSE_HEAD_MAX)
                return -E2BIG;
        *ret = (ResponseHead) {};
        line = next_line(&p, end, &size);
        r = parse_status_line(line, size, ret);
        while (r >= 0 && (line = next_line(&p, end, &size)) && size > 0)
                r = parse_field(line, size, ret);
        if (r >= 0)
                r = find_framing(ret, is_head_request);
        return r < 0 ? r : end - text;
}

/* --- chunks */

enum {
        CHUNK_SIZE,             /* hex digits */
        CHUNK_EXTENSION,        /* the rest of their line, which nobody needs */
        CHUNK_SIZE_LF,
        CHUNK_DATA,
        CHUNK_DATA_CR,
        CHUNK_DATA_LF,
        CHUNK_TRAILER,          /* lines up to an empty one, dropped */
        CHUNK_TRAILER_LF,
};

#define CHUNK_DIGITS_MAX 15U
#define CHUNK_LINE_MAX (4 * KiB)

static int hex_digit(char c) {
        if (is_digit(c))
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_byte(ChunkDecoder *d, char c) {
        int digit = hex_digit(c);

        if (digit >= 0) {
                if (d->line++ == CHUNK_DIGITS_MAX)
                        return -EBADMSG;
                d->left = d->left << 4 | (uint64_t) digit;
                return 0;
        }
        if (d->line == 0 || (c != '\r' && c != ';' && c != ' ' && c != '\t'))
                return -EBADMSG;
        d->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return 0;
}

static int extension_byte(ChunkDecoder *d, char c) {
        if (c == '\n' || d->line++ == CHUNK_LINE_MAX)
                return -EBADMSG;
        if (c == '\r')
                d->state = CHUNK_SIZE_LF;
        return 0;
}

/* line counts the bytes of this line; all trailers together count in left. */
static int trailer_byte(ChunkDecoder *d, char c) {
        if (c == '\n' || d->left++ == CHUNK_LINE_MAX)
                return -EBADMSG;
        if (c == '\r')
                d->state = CHUNK_TRAILER_LF;
        else
                d->line++;
        return 0;
}

static int end_of_line(ChunkDecoder *d, char c) {
        if (c != '\n')
                return -EBADMSG;
        if (d->state == CHUNK_SIZE_LF)
                d->state = d->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        else if (d->state == CHUNK_DATA_LF)
                d->state = CHUNK_SIZE;
        else if (d->line == 0)
                d->done = true;
        else
                d->state = CHUNK_TRAILER;
        d->line = 0;
        return 0;
}

static int framing_byte(ChunkDecoder *d, char c) {
        switch (d->state) {
        case CHUNK_SIZE:
                return size_byte(d, c);
        case CHUNK_EXTENSION:
                return extension_byte(d, c);
        case CHUNK_DATA_CR:
                d->state = CHUNK_DATA_LF;
                return c == '\r' ? 0 : -EBADMSG;
        case CHUNK_TRAILER:
                return trailer_byte(d, c);
        default:
                return end_of_line(d, c);
        }
}

ssize_t chunk_decode(ChunkDecoder *d, const char *bytes, size_t n, const char **ret_data, size_t *ret_size) {
        size_t i = 0;

        *ret_data = bytes;
        *ret_size = 0;
        for (; i < n && !d->done && d->state != CHUNK_DATA; i++)
                if (framing_byte(d, bytes[i]) < 0)
                        return -EBADMSG;
        if (d->done || d->state != CHUNK_DATA)
                return (ssize_t) i;
        *ret_data = bytes + i;
        *ret_size = MIN(n - i, d->left);
        d->left -= *ret_size;
        if (d->left == 0)
                d->state = CHUNK_DATA_CR;
        return (ssize_t) (i + *ret_size);
}
