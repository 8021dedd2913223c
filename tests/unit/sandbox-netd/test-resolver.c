/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-netd/resolver.h"
#include "tests/test.h"

TEST(parse) {
        static const struct {
                const char *text;
                uint32_t address;
        } cases[] = {
                { "",                                                      0          },
                { "nameserver 192.0.2.53\n",                               0xc0000235 },
                { "# nameserver 192.0.2.1\nnameserver\t192.0.2.53",        0xc0000235 },
                { "nameserver 127.0.0.53\n",                               0          },
                { "nameserver 127.0.0.1\nnameserver 192.0.2.53 \n",        0xc0000235 },
                { "nameserver ::1\nnameserver 0.0.0.0\n",                  0          },
                { "nameservers 192.0.2.1\noptions edns0\n",                0          },
                { "search example\nnameserver 192.0.2.1; drop\n",          0          },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(resolver_parse(cases[i].text), cases[i].address);
}

TEST(setting) {
        uint32_t address;

        ASSERT_OK(resolver_find("192.0.2.53", &address));
        ASSERT_EQ(address, 0xc0000235);
        ASSERT_EQ(resolver_find("dns.example", &address), -EINVAL);
}
