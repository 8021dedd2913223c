/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "tests/unit/sandboxd/http-fixture.h"

#define HOST "Host: localhost\r\n"
#define TOKEN "Authorization: Bearer secret\r\n"

static const struct {
        const char *request;
        const char *line;       /* NULL: none */
} rows[] = {
        { "POST /sandbox/echo?a=b HTTP/1.1\r\n" HOST TOKEN "\r\n",
          "SANDBOXD_PRINCIPAL=III_AUTH_TOKEN SANDBOXD_PEER=127.0.0.1 SANDBOXD_ACTION=POST /sandbox/echo "
          "SANDBOXD_STATUS=200\n" },
        { "DELETE /sandbox/echo/%0aPRIORITY=0 HTTP/1.1\r\n" HOST TOKEN "\r\n",
          "SANDBOXD_ACTION=DELETE /sandbox/echo/:id SANDBOXD_STATUS=200\n" },
        { "POST /sandbox/echo HTTP/1.1\r\n" HOST "\r\n", "SANDBOXD_PRINCIPAL= SANDBOXD_PEER=127.0.0.1 "
          "SANDBOXD_ACTION=POST /sandbox/echo SANDBOXD_STATUS=401\n" },
        { "PUT /sandbox/upload?deny=1 HTTP/1.1\r\n" HOST TOKEN "Content-Length: 5\r\n\r\n12345",
          "SANDBOXD_ACTION=PUT /sandbox/upload SANDBOXD_STATUS=403\n" },
        { "GET /sandbox/echo HTTP/1.1\r\n" HOST TOKEN "\r\n", NULL },
        { "POST /sandbox/nothing HTTP/1.1\r\n" HOST TOKEN "\r\n", NULL },
};

/* What is logged while one request is served. */
static void log_of(Fixture *f, const char *request, char *buffer, size_t size) {
        _cleanup_close_ int log = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
        ssize_t n;
        Reply r;

        ASSERT_TRUE(log >= 0 && saved >= 0);
        ASSERT_EQ(dup2(log, STDERR_FILENO), STDERR_FILENO);
        fixture_exchange(f, request, strlen(request), &r);
        ASSERT_EQ(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        reply_done(&r);
        n = pread(log, buffer, size - 1, 0);
        ASSERT_TRUE(n >= 0);
        buffer[n] = 0;
}

TEST(changes_are_logged) {
        static const char *const settings[] = { "III_AUTH_TOKEN=secret", NULL };
        char text[4096];
        Fixture f;

        fixture_start(&f, settings, NULL, &f);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                log_of(&f, rows[i].request, text, sizeof text);
                if (!rows[i].line) {
                        ASSERT_STREQ(text, "");
                        continue;
                }
                if (!strstr(text, rows[i].line))
                        print_error("%s\n%s", rows[i].line, text);
                ASSERT_NOT_NULL(strstr(text, rows[i].line));
                ASSERT_EQ(strcspn(text, "\n"), strlen(text) - 1); /* one line */
        }
        fixture_stop(&f);
}
