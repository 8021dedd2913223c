/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "sandbox-netd/firewall.h"
#include "tests/test.h"

static const FirewallSpec plain = { .range = { 0x0ac90000, 16 }, .private = { 0x0aca0000, 16 } };

TEST(nothing_but_the_spec_changes_the_rules) {
        _cleanup_free_ char *one = NULL, *two = NULL;

        ASSERT_OK(firewall_format(&plain, &one));
        ASSERT_OK(firewall_format(&plain, &two));
        ASSERT_STREQ(one, two);
}

TEST(guarded_are_closed) {
        _cleanup_free_ char *text = NULL;

        ASSERT_OK(firewall_format(&plain, &text));
        for (size_t i = 0; i < n_guarded_prefixes; i++) {
                char prefix[PREFIX_TEXT_MAX];

                ASSERT_NOT_NULL(strstr(text, prefix_format(guarded_prefixes + i, prefix)));
        }
        ASSERT_NOT_NULL(strstr(text, "ip daddr @guarded ip daddr != @allowed goto deny\nip saddr @restricted goto listed"));
}

TEST(resolver) {
        _cleanup_free_ char *without = NULL, *with = NULL;
        FirewallSpec spec = plain;

        ASSERT_OK(firewall_format(&plain, &without));
        ASSERT_NOT_NULL(strstr(without, "ip saddr @restricted ip daddr 10.201.0.1 meta l4proto { tcp, udp } th dport 53 "
                                        "dnat ip to 169.254.1.53:1053\n"));
        ASSERT_NULL(strstr(without, "dnat ip to 192."));
        spec.resolver = 0xc0000235;
        ASSERT_OK(firewall_format(&spec, &with));
        ASSERT_NOT_NULL(strstr(with, "ip daddr 10.201.0.1 meta l4proto { tcp, udp } th dport 53 dnat ip to 192.0.2.53\n"));
}

TEST(allowed) {
        static const Prefix allowed[] = { { 0x0a4d0000, 16 }, { 0x0a4e0001, 32 } };
        _cleanup_free_ char *text = NULL;
        FirewallSpec spec = plain;

        spec.allowed = allowed;
        spec.n_allowed = ELEMENTSOF(allowed);
        ASSERT_OK(firewall_format(&spec, &text));
        ASSERT_NOT_NULL(strstr(text, "elements = { 10.77.0.0/16, 10.78.0.1/32 }"));
}

/* One element a network, however small the range is. */
TEST(networks) {
        FirewallSpec spec = plain;

        for (unsigned bits = 16; bits <= 24; bits++) {
                _cleanup_free_ char *text = NULL;
                unsigned n = 0;

                spec.private.bits = bits;
                ASSERT_OK(firewall_format(&spec, &text));
                for (const char *p = strstr(text, "set same"); (p = strstr(p, " . 59")); p++)
                        n++;
                ASSERT_EQ(n, 1U << (24 - bits));
        }
}
