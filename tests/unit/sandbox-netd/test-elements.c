/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-netd/elements.h"
#include "tests/test.h"

TEST(parse) {
        static const char text[] = "table inet sandboxd {\n\tset denied {\n\t\ttype ipv4_addr . inet_service\n\t\tcounter\n"
                                   "\t\telements = { 10.201.0.5 . 192.0.2.1 . 6 . 443 counter packets 12 bytes 60 expires 9m59s996ms,\n"
                                   "\t\t\t     10.201.0.6 . 192.0.2.2 . 17 . 53 counter packets 0 bytes 0 expires 599s }\n\t}\n}\n";
        _cleanup_free_ Element *e = NULL;
        size_t n;

        ASSERT_OK(elements_parse(text, &e, &n));
        ASSERT_EQ(n, 2);
        ASSERT_EQ(e[0].n_parts, 4);
        ASSERT_EQ(e[0].parts[0], 0x0ac90005);
        ASSERT_EQ(e[0].parts[1], 0xc0000201);
        ASSERT_EQ(e[0].parts[2], 6);
        ASSERT_EQ(e[0].parts[3], 443);
        ASSERT_EQ(e[0].packets, 12);
        ASSERT_EQ(e[0].expires_sec, 599);
        ASSERT_EQ(e[1].parts[2], 17);
        ASSERT_EQ(e[1].expires_sec, 599);
}

TEST(map) {
        _cleanup_free_ Element *e = NULL;
        size_t n;

        ASSERT_OK(elements_parse("elements = { 10.201.0.5 . 192.0.2.1 timeout 1d1h1m expires 1d1h59s996ms : 0x5b000007 }", &e, &n));
        ASSERT_EQ(n, 1);
        ASSERT_EQ(e->n_parts, 2);
        ASSERT_EQ(e->expires_sec, 86400 + 3600 + 59);
        ASSERT_EQ(e->value, 0x5b000007);
}

TEST(none) {
        static const char *const bad[] = { "elements = { 10.201.0.5", "elements = { }", "elements = { x }", "elements = { 1 . 2 . 3 . 4 . 5 }" };
        _cleanup_free_ Element *e = NULL;
        size_t n = 7;

        ASSERT_OK(elements_parse("table inet sandboxd {\n\tset named {\n\t\ttype ipv4_addr\n\t}\n}\n", &e, &n));
        ASSERT_EQ(n, 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Element *none;

                ASSERT_EQ(elements_parse(bad[i], &none, &n), -EBADMSG);
        }
}
