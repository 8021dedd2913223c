/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandboxctl/listen.h"
#include "tests/test.h"

#define HEAD "# Written by \"sandboxctl configure\".\n[Socket]\nListenStream=\n"
#define SOCKET "ListenStream=/run/sandboxd/api.sock\n"

TEST(dropin) {
        static const struct {
                uint32_t port;
                const char *addresses[3], *allow[3];
                const char *text;
        } cases[] = {
                { 80, {}, {}, HEAD "ListenStream=127.0.0.1:80\nListenStream=[::1]:80\n" SOCKET },
                { 80, { "127.0.0.2" }, {}, HEAD "ListenStream=127.0.0.2:80\n" SOCKET },
                { 1, { "0.0.0.0", "fe80::1" }, {},
                  HEAD "ListenStream=0.0.0.0:1\nListenStream=[fe80::1]:1\n" SOCKET "IPAddressAllow=any\n" },
                { 1, { "::" }, { "10.0.0.0/8", "fc00::/7" },
                  HEAD "ListenStream=[::]:1\n" SOCKET "IPAddressAllow=10.0.0.0/8\nIPAddressAllow=fc00::/7\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = NULL;
                const char *bad;

                ASSERT_OK(listen_dropin(cases[i].port, (char *const *) cases[i].addresses,
                                        (char *const *) cases[i].allow, &text, &bad));
                ASSERT_STREQ(text, cases[i].text);
        }
}

TEST(refuse) {
        static const char *const addresses[] = { "localhost", "1.2.3", "[::1]", "1.2.3.4:5", "", "0.0.0.0\nUser=x" };
        static const char *const prefixes[] = { "10.0.0.0/33", "::/129", "any", "1.2.3.4/", "1.2.3.4/-1" };
        const char *bad;
        char *text = NULL;

        for (size_t i = 0; i < ELEMENTSOF(addresses); i++) {
                char *const list[] = { (char *) addresses[i], NULL };

                ASSERT_EQ(listen_dropin(1, list, NULL, &text, &bad), -EINVAL);
                ASSERT_STREQ(bad, addresses[i]);
                ASSERT_NULL(text);
        }
        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                char *const list[] = { (char *) prefixes[i], NULL };

                ASSERT_EQ(listen_dropin(1, NULL, list, &text, &bad), -EINVAL);
                ASSERT_STREQ(bad, prefixes[i]);
        }
}
