/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/auth.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandboxd/http/rate.h"
#include "tests/test.h"

static AuthResult check(Auth *a, const char *header, const char **ret_label) {
        static unsigned n;
        char peer[32];

        snprintf(peer, sizeof peer, "peer-%u", n++); /* no limit of failures here */
        return auth_check(a, header, peer, ret_label);
}

static Auth *new_auth(const char *token, const char *key, const char *directory) {
        Settings s = { .auth_token = (char *) token, .api_key = (char *) key };
        Auth *a = NULL;

        ASSERT_OK(auth_new(&s, directory, &a));
        return a;
}

TEST(settings) {
        const char *label = NULL;
        Auth *a;

        a = new_auth(NULL, NULL, NULL);
        ASSERT_FALSE(auth_is_enabled(a));
        auth_free(a);

        a = new_auth("one", "two", "/nowhere");
        ASSERT_TRUE(auth_is_enabled(a));
        ASSERT_EQ(check(a, "Bearer one", &label), AUTH_OK);
        ASSERT_STREQ(label, "III_AUTH_TOKEN");
        ASSERT_EQ(check(a, "two", &label), AUTH_OK);
        ASSERT_STREQ(label, "API_KEY");
        ASSERT_EQ(check(a, NULL, &label), AUTH_MISSING);
        ASSERT_EQ(check(a, "", &label), AUTH_WRONG);
        ASSERT_EQ(check(a, "Bearer ", &label), AUTH_WRONG);
        ASSERT_EQ(check(a, "Bearer onetwo", &label), AUTH_WRONG);
        ASSERT_EQ(check(a, "bearer one", &label), AUTH_WRONG);
        ASSERT_EQ(check(a, "Bearer one ", &label), AUTH_WRONG);
        auth_free(a);
}

/* An empty token counts as set, but no header is still none. */
TEST(empty_token) {
        const char *label;
        Auth *a = new_auth("", NULL, NULL);

        ASSERT_TRUE(auth_is_enabled(a));
        ASSERT_EQ(check(a, NULL, &label), AUTH_MISSING);
        ASSERT_EQ(check(a, "Bearer x", &label), AUTH_WRONG);
        ASSERT_EQ(check(a, "Bearer ", &label), AUTH_OK);
        auth_free(a);
}

TEST(credential_file) {
        static const char text[] = "# comment\n\nfirst\nsecond  ci runner \n  third\n";
        char directory[] = "/tmp/test-auth-XXXXXX";
        const char *label;
        Auth *a;
        int fd;

        ASSERT_NOT_NULL(mkdtemp(directory));
        fd = open(directory, O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(write_file_atomic_at(fd, "tokens", text, 0600));
        a = new_auth(NULL, NULL, directory);
        ASSERT_EQ(check(a, "Bearer first", &label), AUTH_OK);
        ASSERT_STREQ(label, "tokens:3");
        ASSERT_EQ(check(a, "Bearer second", &label), AUTH_OK);
        ASSERT_STREQ(label, "ci runner");
        ASSERT_EQ(check(a, "third", &label), AUTH_OK);
        ASSERT_EQ(check(a, "#", &label), AUTH_WRONG);
        ASSERT_EQ(check(a, "Bearer ", &label), AUTH_WRONG);
        auth_free(a);
        ASSERT_EQ(unlinkat(fd, "tokens", 0), 0);
        close(fd);
        ASSERT_EQ(rmdir(directory), 0);
}

TEST(failures_are_limited) {
        const char *label;
        Auth *a = new_auth("one", NULL, NULL);
        unsigned limited = 0;

        for (size_t i = 0; i < 50; i++)
                limited += auth_check(a, "wrong", "192.0.2.1", &label) == AUTH_LIMITED;
        ASSERT_TRUE(limited >= 44);
        ASSERT_EQ(auth_check(a, "wrong", "192.0.2.2", &label), AUTH_WRONG);
        ASSERT_EQ(auth_check(a, "one", "192.0.2.1", &label), AUTH_OK);
        auth_free(a);
}

TEST(buckets) {
        uint64_t now = 1000 * USEC_PER_SEC;
        RateTable *t;
        char key[32];

        ASSERT_OK(rate_table_new(2, 4, &t));
        for (size_t i = 0; i < 4; i++)
                ASSERT_TRUE(rate_table_take(t, "a", now));
        ASSERT_FALSE(rate_table_take(t, "a", now));
        ASSERT_TRUE(rate_table_take(t, "b", now));
        ASSERT_FALSE(rate_table_take(t, "a", now + USEC_PER_SEC / 4));
        ASSERT_TRUE(rate_table_take(t, "a", now + USEC_PER_SEC));
        ASSERT_TRUE(rate_table_take(t, "a", now + 100 * USEC_PER_SEC));

        /* any number of keys */
        for (size_t i = 0; i < 10000; i++) {
                snprintf(key, sizeof key, "%zu", i);
                ASSERT_TRUE(rate_table_take(t, key, now + 200 * USEC_PER_SEC));
        }
        rate_table_free(t);
}
