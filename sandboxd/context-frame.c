/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/string-util.h"
#include "sandboxd/context.h"

/* What a driver says, and what the code that it runs may say in its name: the peer of a sandbox's user is that user. */

#define HEADER_MAX 64U

static int take_word(const char **p, const char *end, char *ret, size_t size) {
        const char *stop = memchr(*p, ' ', (size_t) (end - *p));
        size_t n = stop ? (size_t) (stop - *p) : 0;

        if (n == 0 || n >= size)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                char c = (*p)[i];

                if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
                        return -EBADMSG;
                ret[i] = c;
        }
        ret[n] = 0;
        *p = stop + 1;
        return 0;
}

int context_frame_parse(const char *data, size_t n, ContextFrame *ret) {
        const char *newline = memchr(data, '\n', MIN(n, (size_t) HEADER_MAX)), *p = data;
        size_t length = 0;

        if (!newline)
                return n >= HEADER_MAX ? -EBADMSG : 0;
        if (take_word(&p, newline, ret->kind, sizeof ret->kind) < 0 ||
            take_word(&p, newline, ret->token, sizeof ret->token) < 0 || p == newline)
                return -EBADMSG;
        for (; p < newline; p++) {
                if (*p < '0' || *p > '9')
                        return -EBADMSG;
                length = length * 10 + (size_t) (*p - '0');
                if (length > CONTEXT_FRAME_MAX)
                        return -EBADMSG;
        }
        ret->text = newline + 1;
        ret->n_text = length;
        ret->size = (size_t) (newline + 1 - data) + length;
        return ret->size <= n;
}
