/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "sandbox-hook/destination.h"
#include "tests/test.h"

static bool allowed(const char *list, const char *host, const char *address) {
        _cleanup_(destination_rules_freep) DestinationRules *rules = NULL;
        struct sockaddr_in6 new = { .sin6_family = AF_INET6 };
        struct sockaddr_in old = { .sin_family = AF_INET };

        ASSERT_OK(destination_rules_new(list, &rules));
        if (inet_pton(AF_INET, address, &old.sin_addr) == 1)
                return destination_is_allowed(rules, host, (struct sockaddr *) &old);
        ASSERT_EQ(inet_pton(AF_INET6, address, &new.sin6_addr), 1);
        return destination_is_allowed(rules, host, (struct sockaddr *) &new);
}

TEST(without_rules) {
        static const struct {
                const char *address;
                bool expect;
        } cases[] = {
                { "1.1.1.1",              true  },
                { "93.184.216.34",        true  },
                { "100.63.255.255",       true  },
                { "100.64.0.1",           false },
                { "100.128.0.1",          true  },
                { "0.0.0.0",              false },
                { "10.0.0.1",             false },
                { "11.0.0.1",             true  },
                { "127.0.0.1",            false },
                { "127.255.255.254",      false },
                { "169.254.169.254",      false }, /* credentials of clouds */
                { "172.15.255.255",       true  },
                { "172.16.0.1",           false },
                { "172.31.255.255",       false },
                { "172.32.0.1",           true  },
                { "192.168.1.1",          false },
                { "198.19.0.1",           false },
                { "224.0.0.1",            false },
                { "239.255.255.250",      false },
                { "255.255.255.255",      false },
                { "::",                   false },
                { "::1",                  false },
                { "::ffff:127.0.0.1",     false },
                { "::ffff:1.1.1.1",       true  },
                { "::127.0.0.1",          false },
                { "64:ff9b::7f00:1",      false }, /* an older address inside */
                { "64:ff9b::101:101",     true  },
                { "64:ff9b:1::101:101",   false },
                { "2001:4860:4860::8888", true  },
                { "2001:0:53aa:64c::1",   false }, /* Teredo */
                { "2001:db8::1",          false },
                { "2002:7f00:1::1",       false },
                { "2606:4700::1111",      true  },
                { "fc00::1",              false },
                { "fd12::1",              false },
                { "fe80::1",              false },
                { "fec0::1",              false },
                { "ff02::1",              false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (allowed("", "example.org", cases[i].address) != cases[i].expect) {
                        print_error("%s\n", cases[i].address);
                        ASSERT_TRUE(false);
                }
}

TEST(rules) {
        static const struct {
                const char *list, *host, *address;
                bool expect;
        } cases[] = {
                { "127.0.0.1",            "x",         "127.0.0.1",      true  },
                { "127.0.0.1",            "x",         "127.0.0.2",      false },
                { "10.1.0.0/16",          "x",         "10.1.255.1",     true  },
                { "10.1.0.0/16",          "x",         "10.2.0.1",       false },
                { "10.1.0.0/17",          "x",         "10.1.128.1",     false },
                { " ::1 , fd00::/8 ",     "x",         "fd77::1",        true  },
                { " ::1 , fd00::/8 ",     "x",         "::1",            true  },
                { "0.0.0.0/0",            "x",         "127.0.0.1",      true  },
                { "0.0.0.0/0",            "x",         "::1",            false }, /* of the older family only */
                { "::/0",                 "x",         "127.0.0.1",      true  },
                { "127.0.0.0/8",          "x",         "::ffff:127.0.0.1", true },
                { "build.internal",       "build.internal", "10.9.9.9",  true  },
                { "build.internal",       "BUILD.Internal", "10.9.9.9",  true  },
                { "build.internal",       "x.build.internal", "10.9.9.9", false },
                { "build.internal",       "build.internal.evil.example", "10.9.9.9", false },
                { "localhost",            "127.0.0.1", "127.0.0.1",      false },
                { ",,",                   "x",         "10.0.0.1",       false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (allowed(cases[i].list, cases[i].host, cases[i].address) != cases[i].expect) {
                        print_error("'%s' %s %s\n", cases[i].list, cases[i].host, cases[i].address);
                        ASSERT_TRUE(false);
                }
}

TEST(bad_rules) {
        static const char *const lists[] = { "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::/129", "a b", "*", "*.example",
                                             "http://x", "1.2.3.4.5", "127.0.0.1,10.0.0.0/x", "10.0.0.0/-1" };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                DestinationRules *rules = NULL;

                if (destination_rules_new(lists[i], &rules) != -EINVAL) {
                        print_error("'%s'\n", lists[i]);
                        ASSERT_TRUE(false);
                }
        }
}

TEST(other_families) {
        _cleanup_(destination_rules_freep) DestinationRules *rules = NULL;
        struct sockaddr_un local = { .sun_family = AF_UNIX };

        ASSERT_OK(destination_rules_new("::/0", &rules));
        ASSERT_FALSE(destination_is_allowed(rules, "x", (struct sockaddr *) &local));
}
