/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/http/rate.h"

#define TOKENS_MAX 256U
#define TOKEN_FILE_MAX (64 * KiB)
#define FAILURES_PER_SEC 5

typedef struct Token {
        unsigned char hash[SHA256_DIGEST_LENGTH];
        char *label;
} Token;

struct Auth {
        unsigned n_ref;
        Token tokens[TOKENS_MAX];
        size_t n_tokens;
        RateTable *failures;
};

/* The sum only: a dump of our memory tells no token. */
static int add_token(Auth *a, const char *token, const char *label) {
        Token *t = a->tokens + a->n_tokens;

        if (a->n_tokens == TOKENS_MAX)
                return -E2BIG;
        t->label = strdup(label);
        if (!t->label)
                return -ENOMEM;
        SHA256((const unsigned char *) token, strlen(token), t->hash);
        a->n_tokens++;
        return 0;
}

static int add_line(Auth *a, char *line, unsigned number) {
        char *token = strstrip(line), *label, fallback[32];

        if (!*token || *token == '#')
                return 0;
        label = token + strcspn(token, " \t");
        if (*label) {
                *label++ = 0;
                label += strspn(label, " \t");
        }
        snprintf(fallback, sizeof fallback, "tokens:%u", number);
        return add_token(a, token, *label ? label : fallback);
}

static int add_file(Auth *a, const char *directory) {
        _cleanup_close_ int fd = -EBADF;
        char *text, *next;
        unsigned number = 0;
        size_t size;
        int r;

        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        r = read_text_at(fd, "tokens", TOKEN_FILE_MAX, &text);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;

        size = strlen(text);
        next = text;
        for (char *line; r >= 0 && (line = strsep(&next, "\n"));)
                r = add_line(a, line, ++number);
        explicit_bzero(text, size);
        free(text);
        return r;
}

int auth_new(const Settings *settings, const char *credentials, Auth **ret) {
        _cleanup_(auth_freep) Auth *a = NULL;
        int r;

        assert(settings);
        assert(ret);

        a = new0(Auth, 1);
        if (!a)
                return -ENOMEM;
        a->n_ref = 1;
        r = rate_table_new(FAILURES_PER_SEC, FAILURES_PER_SEC, &a->failures);
        if (r >= 0 && settings->auth_token)
                r = add_token(a, settings->auth_token, "III_AUTH_TOKEN");
        if (r >= 0 && settings->api_key)
                r = add_token(a, settings->api_key, "API_KEY");
        if (r < 0)
                return r;
        if (credentials) {
                r = add_file(a, credentials);
                if (r < 0)
                        return log_error_errno(r, "Failed to read the tokens in %s: %m", credentials);
        }
        *ret = TAKE_PTR(a);
        return 0;
}

Auth *auth_ref(Auth *a) {
        if (a)
                a->n_ref++;
        return a;
}

Auth *auth_free(Auth *a) {
        if (a && --a->n_ref == 0) {
                for (size_t i = 0; i < a->n_tokens; i++)
                        free(a->tokens[i].label);
                rate_table_free(a->failures);
                explicit_bzero(a, sizeof *a);
                free(a);
        }
        return NULL;
}

bool auth_is_enabled(const Auth *a) {
        return a->n_tokens > 0;
}

/* All tokens are compared, whatever the outcome of the first ones. */
static const Token *find_token(const Auth *a, const char *text) {
        unsigned char hash[SHA256_DIGEST_LENGTH];
        const Token *found = NULL;

        SHA256((const unsigned char *) text, strlen(text), hash);
        for (size_t i = 0; i < a->n_tokens; i++) {
                bool equal = CRYPTO_memcmp(hash, a->tokens[i].hash, sizeof hash) == 0;

                found = equal && !found ? a->tokens + i : found;
        }
        explicit_bzero(hash, sizeof hash);
        return found;
}

AuthResult auth_check(Auth *a, const char *header, const char *peer, const char **ret_label) {
        const char *text = header ? startswith(header, "Bearer ") : NULL;
        const Token *token;

        /* The bare token is a form that clients send; the prefix is case-sensitive. A missing header goes the same
         * way as a wrong one, so that it takes the same time. */
        token = find_token(a, text ? text : header ? header : "");
        if (header && token) {
                *ret_label = token->label;
                return AUTH_OK;
        }
        if (!rate_table_take(a->failures, peer, now_usec(CLOCK_BOOTTIME)))
                return AUTH_LIMITED;
        return header ? AUTH_WRONG : AUTH_MISSING;
}
