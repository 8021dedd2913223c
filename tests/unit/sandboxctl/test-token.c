/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandboxctl/token.h"
#include "tests/test.h"

static int load(const char *content, char **ret) {
        _cleanup_close_ int fd = memfd_create("token", MFD_CLOEXEC);
        _cleanup_free_ char *error = NULL;
        int r;

        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(loop_write(fd, content, strlen(content)));
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        r = token_load(NULL, (uint64_t) fd, ret, &error);
        ASSERT_EQ(r < 0, error != NULL);
        return r;
}

TEST(from_descriptor) {
        static const struct {
                const char *content, *token;
                int r;
        } cases[] = {
                { "secret", "secret", 0 },
                { "  secret\n", "secret", 0 },
                { "", NULL, -EINVAL },
                { "two words", NULL, -EINVAL },
                { "a\r\nHost: b", NULL, -EINVAL },
                { "\xc3\xa4", NULL, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(token_freep) char *token = NULL;

                ASSERT_EQ(load(cases[i].content, &token), cases[i].r);
                if (cases[i].token)
                        ASSERT_STREQ(token, cases[i].token);
                else
                        ASSERT_NULL(token);
        }
}

TEST(order) {
        _cleanup_(token_freep) char *token = NULL, *none = NULL;
        _cleanup_free_ char *error = NULL;

        unsetenv("III_SANDBOX_TOKEN");
        ASSERT_OK(token_load(NULL, UINT64_MAX, &none, &error));
        ASSERT_NULL(none);
        setenv("III_SANDBOX_TOKEN", "variable", 1);
        ASSERT_OK(token_load(NULL, UINT64_MAX, &token, &error));
        ASSERT_STREQ(token, "variable");
        ASSERT_EQ(token_load("/nonexistent/token", UINT64_MAX, &none, &error), -ENOENT);
        unsetenv("III_SANDBOX_TOKEN");
}

TEST(random) {
        _cleanup_(token_freep) char *a = NULL, *b = NULL;

        ASSERT_OK(token_random(&a));
        ASSERT_OK(token_random(&b));
        ASSERT_EQ(strlen(a), 64);
        ASSERT_TRUE(token_is_valid(a));
        ASSERT_TRUE(strcmp(a, b) != 0);
}
