/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <strings.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/http-check.h"

/* Only what is certain is refused here: all else is checked again when libmicrohttpd has taken it apart. */

#define LENGTH_DIGITS_MAX 20U

static bool refuse(HttpRefusal *ret, unsigned status, const char *message) {
        *ret = (HttpRefusal) { .status = status, .message = message, .close = true };
        return false;
}

/* What counts over all lines. */
typedef struct Seen {
        bool http_1_0, host, length, encoding;
} Seen;

static bool is_clean(const char *s, size_t n, bool tab) {
        for (size_t i = 0; i < n; i++)
                if (((unsigned char) s[i] < 0x20 && !(tab && s[i] == '\t')) || s[i] == 0x7f)
                        return false;
        return true;
}

static bool check_request_line(const char *line, size_t n, Seen *seen, HttpRefusal *ret) {
        const char *version = memrchr(line, ' ', n);
        size_t size = version ? (size_t) (line + n - ++version) : 0;

        if (!is_clean(line, n, /* tab= */ false))
                return refuse(ret, 400, "The request line is not valid");
        if (size < strlen("HTTP/") || memcmp(version, "HTTP/", strlen("HTTP/")) != 0)
                return refuse(ret, 400, "The request line is not valid");
        if (size != strlen("HTTP/1.1") || memcmp(version, "HTTP/1.", strlen("HTTP/1.")) != 0 ||
            (version[7] != '0' && version[7] != '1'))
                return refuse(ret, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
        seen->http_1_0 = version[7] == '0';
        return true;
}

static bool length_is_valid(const char *value, size_t n) {
        char text[LENGTH_DIGITS_MAX + 1] = "";
        uint64_t length;

        if (n == 0 || n > LENGTH_DIGITS_MAX)
                return false;
        memcpy(text, value, n);
        return parse_u64(text, &length) >= 0;
}

static bool name_is(const char *name, size_t n, const char *wanted) {
        return n == strlen(wanted) && strncasecmp(name, wanted, n) == 0;
}

/* A second one of these is refused also where it says the same: an intermediary may have looked at the other. */
static bool check_single(bool *seen, HttpRefusal *ret) {
        if (*seen)
                return refuse(ret, 400, "A header that may stand there once is repeated");
        *seen = true;
        return true;
}

static bool check_field(const char *line, size_t n, Seen *seen, HttpRefusal *ret) {
        const char *colon = memchr(line, ':', n), *value;
        size_t name_size = colon ? (size_t) (colon - line) : 0, size;

        if (!colon || !http_is_token(line, name_size) || !is_clean(colon, (size_t) (line + n - colon), /* tab= */ true))
                return refuse(ret, 400, "A header is not valid");
        value = colon + 1;
        size = (size_t) (line + n - value);
        for (; size > 0 && (*value == ' ' || *value == '\t'); size--)
                value++;
        while (size > 0 && strchr(" \t", value[size - 1]))
                size--;

        if (name_is(line, name_size, "Host"))
                return check_single(&seen->host, ret);
        if (name_is(line, name_size, "Transfer-Encoding")) {
                if (!name_is(value, size, "chunked"))
                        return refuse(ret, 501, "Only the transfer encoding 'chunked' is known");
                return check_single(&seen->encoding, ret);
        }
        if (!name_is(line, name_size, "Content-Length"))
                return true;
        if (!length_is_valid(value, size))
                return refuse(ret, 400, "Content-Length is not valid");
        return check_single(&seen->length, ret);
}

static bool check_whole(const Seen *seen, HttpRefusal *ret) {
        if (!seen->host && !seen->http_1_0)
                return refuse(ret, 400, "The Host header is missing");
        if (seen->length && seen->encoding)
                return refuse(ret, 400, "Content-Length and Transfer-Encoding exclude each other");
        return true;
}

bool http_check_bytes(const char *bytes, size_t n, HttpRefusal *ret_refusal) {
        const char *end = bytes + n, *newline;
        bool first = true;
        Seen seen = {};

        for (const char *line = bytes; (newline = memchr(line, '\n', (size_t) (end - line))); line = newline + 1) {
                size_t size = (size_t) (newline - line);

                if (size == 0 || line[size - 1] != '\r')
                        return refuse(ret_refusal, 400, "A line does not end as it must");
                size--;
                if (size == 0 && first) /* an empty line before a request is to be ignored */
                        continue;
                if (size == 0)
                        return check_whole(&seen, ret_refusal);
                if (first ? !check_request_line(line, size, &seen, ret_refusal) :
                            !check_field(line, size, &seen, ret_refusal))
                        return false;
                first = false;
        }
        if (n < HTTP_BYTES_MAX)
                return true; /* the rest is to come */
        return refuse(ret_refusal, first ? 414 : 431, first ? "The path is too long" : "The headers are too large");
}
