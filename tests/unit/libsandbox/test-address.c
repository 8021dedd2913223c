/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/address.h"
#include "tests/test.h"

TEST(prefix_parse) {
        static const struct {
                const char *text;
                int r;
                Prefix prefix;
        } cases[] = {
                { "10.0.0.0/8",       0,       { 0x0a000000, 8 }  },
                { "192.0.2.1",        0,       { 0xc0000201, 32 } },
                { "0.0.0.0/0",        0,       { 0, 0 }           },
                { "10.0.0.1/8",       -EINVAL, {}                 },
                { "10.0.0.0/33",      -EINVAL, {}                 },
                { "10.0.0.0/",        -EINVAL, {}                 },
                { "10.0.0.0/ 8",      -EINVAL, {}                 },
                { "10.0.0/8",         -EINVAL, {}                 },
                { "::/0",             -EINVAL, {}                 },
                { "",                 -EINVAL, {}                 },
                { "1.2.3.4;drop/8",   -EINVAL, {}                 },
                { "111.111.111.1111111", -EINVAL, {}              },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[PREFIX_TEXT_MAX];
                Prefix p = {}, again;

                ASSERT_EQ(prefix_parse(cases[i].text, &p), cases[i].r);
                ASSERT_EQ(p.address, cases[i].prefix.address);
                ASSERT_EQ(p.bits, cases[i].prefix.bits);
                if (cases[i].r >= 0) {
                        ASSERT_OK(prefix_parse(prefix_format(&p, text), &again));
                        ASSERT_EQ(again.address, p.address);
                }
        }
}

TEST(prefixes_parse) {
        _cleanup_free_ Prefix *list = NULL;
        _cleanup_free_ char *bad = NULL;
        size_t n;

        ASSERT_OK(prefixes_parse("10.1.0.0/16, 10.2.0.1,,10.3.0.0/24", &list, &n, NULL));
        ASSERT_EQ(n, 3);
        ASSERT_EQ(list[1].address, 0x0a020001);
        list = mfree(list);
        ASSERT_OK(prefixes_parse("", &list, &n, NULL));
        ASSERT_EQ(n, 0);
        ASSERT_EQ(prefixes_parse("10.1.0.0/16 moon", &list, &n, &bad), -EINVAL);
        ASSERT_STREQ(bad, "moon");
}

TEST(overlap) {
        static const Prefix all = { 0, 0 }, ten = { 0x0a000000, 8 }, inside = { 0x0ac90000, 16 }, other = { 0x0b000000, 8 };

        ASSERT_TRUE(prefixes_overlap(&all, &other));
        ASSERT_TRUE(prefixes_overlap(&ten, &inside));
        ASSERT_TRUE(prefixes_overlap(&inside, &ten));
        ASSERT_FALSE(prefixes_overlap(&ten, &other));
}

/* Every address of a small range is found, and none that is not for a sandbox. */
TEST(candidates) {
        static const Prefix range = { 0x0ac90000, 28 };
        bool seen[16] = {};

        ASSERT_EQ(range_gateway(&range), 0x0ac90001);
        for (unsigned n = 0; n < 64; n++) {
                uint32_t address = range_candidate(&range, "f3a1b2c4d5e6f708192a3b4c5d6e7f80", n);

                ASSERT_TRUE(address > range.address + 1 && address < range.address + 15);
                seen[address - range.address] = true;
        }
        for (unsigned i = 2; i < 15; i++)
                ASSERT_TRUE(seen[i]);
}

TEST(private_networks) {
        static const Prefix range = { 0x0aca0000, 16 };
        uint32_t address;
        Prefix p;

        ASSERT_OK(private_network(&range, 255, &p));
        ASSERT_EQ(p.address, 0x0acaff00);
        ASSERT_EQ(private_network(&range, 256, &p), -ERANGE);
        ASSERT_OK(private_member(&range, 3, 253, &address));
        ASSERT_EQ(address, 0x0aca03fd);
        ASSERT_EQ(private_member(&range, 3, 0, &address), -ERANGE);
        ASSERT_EQ(private_member(&range, 3, 254, &address), -ERANGE);
}

TEST(guarded) {
        const Prefix allowed[] = { { 0x0a4d0000, 16 } };

        ASSERT_TRUE(address_is_guarded(0x0a4d0007, NULL, 0));
        ASSERT_FALSE(address_is_guarded(0x0a4d0007, allowed, 1));
        ASSERT_TRUE(address_is_guarded(0x0a4e0007, allowed, 1));
        ASSERT_TRUE(address_is_guarded(0xa9fea9fe, allowed, 1));
        ASSERT_FALSE(address_is_guarded(0xc6336407, NULL, 0));
}
