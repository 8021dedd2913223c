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

static bool check_request_line(const char *line, size_t n, HttpRefusal *ret) {
        const char *version = memrchr(line, ' ', n);
        size_t size = version ? (size_t) (line + n - ++version) : 0;

        if (memchr(line, 0, n))
                return refuse(ret, 400, "The request line is not valid");
        if (!version || size < strlen("HTTP/") || memcmp(version, "HTTP/", strlen("HTTP/")) != 0)
                return refuse(ret, 400, "The request line is not valid");
        if (size != strlen("HTTP/1.1") || memcmp(version, "HTTP/1.", strlen("HTTP/1.")) != 0 ||
            (version[7] != '0' && version[7] != '1'))
                return refuse(ret, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
        return true;
}

static bool length_is_valid(const char *value, size_t n) {
        char text[LENGTH_DIGITS_MAX + 1] = "";
        uint64_t length;

        while (n > 0 && strchr(" \t", *value)) {
                value++;
                n--;
        }
        while (n > 0 && strchr(" \t", value[n - 1]))
                n--;
        if (n == 0 || n > LENGTH_DIGITS_MAX)
                return false;
        memcpy(text, value, n);
        return parse_u64(text, &length) >= 0;
}

static bool check_line(const char *line, size_t n, HttpRefusal *ret) {
        const char *colon = memchr(line, ':', n);

        if (!colon || memchr(line, 0, n))
                return refuse(ret, 400, "A header is not valid");
        if ((size_t) (colon - line) == strlen("Content-Length") &&
            strncasecmp(line, "Content-Length", strlen("Content-Length")) == 0 &&
            !length_is_valid(colon + 1, (size_t) (line + n - colon - 1)))
                return refuse(ret, 400, "Content-Length is not valid");
        return true;
}

bool http_check_bytes(const char *bytes, size_t n, HttpRefusal *ret_refusal) {
        const char *end = bytes + n, *newline;
        bool first = true;

        for (const char *line = bytes; (newline = memchr(line, '\n', (size_t) (end - line))); line = newline + 1) {
                size_t size = (size_t) (newline - line);

                if (size > 0 && line[size - 1] == '\r')
                        size--;
                if (size == 0 && first) /* an empty line before a request is to be ignored */
                        continue;
                if (size == 0)
                        return true;
                if (first ? !check_request_line(line, size, ret_refusal) : !check_line(line, size, ret_refusal))
                        return false;
                first = false;
        }
        return true;
}
