/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/upstreams.h"
#include "tests/test.h"

TEST(parse) {
        static const struct {
                const char *text;
                size_t n;
        } cases[] = {
                { "",                                                                        0 },
                { "nameserver 127.0.0.53\n",                                                 1 },
                { "# nameserver 192.0.2.1\nnameserver\t192.0.2.53 \nsearch x\n",             1 },
                { "nameserver ::1\nnameserver 192.0.2.1\n",                                  2 },
                { "nameserver x\nnameservers 192.0.2.1\nnameserver fe80::1%eth0\n",          0 },
                { "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n", UPSTREAMS_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Upstreams u;

                upstreams_parse(cases[i].text, &u);
                ASSERT_EQ(u.n, cases[i].n);
                for (size_t k = 0; k < u.n; k++)
                        ASSERT_TRUE(upstream_size(u.addresses + k) > 0 && u.addresses[k].in.sin_port == htons(53));
        }
}

TEST(setting) {
        Upstreams u = {};

        upstreams_refresh(&u, "192.0.2.53");
        ASSERT_EQ(u.n, 1);
        ASSERT_EQ(u.addresses[0].in.sin_addr.s_addr, htonl(0xc0000235));
        upstreams_refresh(&u, "nonsense");
        ASSERT_EQ(u.n, 0);
}
