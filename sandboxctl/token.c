/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* A token that stood in a file, a pipe or the environment is overwritten when it is not needed any more. Blanks at its
 * end are cut, since editors add a newline; a blank inside is refused: it would begin another header. */

#define TOKEN_MAX 4096U
#define TOKEN_BYTES 32U

char *token_free(char *token) {
        if (token)
                explicit_bzero(token, strlen(token));
        free(token);
        return NULL;
}

bool token_is_valid(const char *token) {
        for (const char *p = token; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return false;
        return *token;
}

static int refuse(char **ret_error, int r, const char *what, const char *source) {
        if (asprintf(ret_error, "%s the token from %s%s%s", what, source, r == -EINVAL ? "" : ": ",
                     r == -EINVAL ? "" : strerror(-r)) < 0)
                *ret_error = NULL;
        return r;
}

static int read_token(int fd, const char *source, char **ret, char **ret_error) {
        char buffer[TOKEN_MAX + 1];
        _cleanup_(token_freep) char *token = NULL;
        ssize_t n;

        n = loop_read(fd, buffer, TOKEN_MAX);
        if (n < 0)
                return refuse(ret_error, (int) n, "failed to read", source);
        buffer[n] = 0;
        token = strdup(strstrip(buffer));
        explicit_bzero(buffer, sizeof buffer);
        if (!token)
                return -ENOMEM;
        if (!token_is_valid(token))
                return refuse(ret_error, -EINVAL, "empty or with blanks:", source);
        *ret = TAKE_PTR(token);
        return 0;
}

int token_load(const char *file, uint64_t fd, char **ret, char **ret_error) {
        const char *variable = getenv("III_SANDBOX_TOKEN");
        _cleanup_close_ int opened = -EBADF;

        *ret = NULL;
        if (file) {
                opened = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                if (opened < 0)
                        return refuse(ret_error, -errno, "failed to read", file);
                return read_token(opened, file, ret, ret_error);
        }
        if (fd != UINT64_MAX)
                return fd > INT32_MAX ? refuse(ret_error, -EBADF, "failed to read", "--token-fd")
                                      : read_token((int) fd, "--token-fd", ret, ret_error);
        if (isempty(variable))
                return 0;
        if (!token_is_valid(variable))
                return refuse(ret_error, -EINVAL, "empty or with blanks:", "$III_SANDBOX_TOKEN");
        *ret = strdup(variable);
        return *ret ? 0 : -ENOMEM;
}

int token_random(char **ret) {
        unsigned char bytes[TOKEN_BYTES];
        char *token;

        if (getrandom(bytes, sizeof bytes, 0) != (ssize_t) sizeof bytes)
                return -errno;
        token = malloc(2 * TOKEN_BYTES + 1);
        if (!token)
                return -ENOMEM;
        for (size_t i = 0; i < sizeof bytes; i++)
                sprintf(token + 2 * i, "%02x", bytes[i]);
        explicit_bzero(bytes, sizeof bytes);
        *ret = token;
        return 0;
}
