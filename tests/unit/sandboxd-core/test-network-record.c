/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "sandboxd/network-record.h"
#include "tests/test.h"

#define RECORD(number, members) \
        "{\"id\":\"net_0123456789abcdef01234567\",\"name\":\"blue\",\"number\":" number ",\"createdAt\":7,\"members\":[" members "]}"
#define MEMBER(number) "{\"sandbox\":\"sbx_a\",\"number\":" number ",\"address\":\"\"}"

TEST(members_have_the_smallest_free_number) {
        _cleanup_(network_unrefp) Network *network = NULL;

        ASSERT_OK(network_new("blue", 3, 7, &network));
        ASSERT_OK(network_add_member(network, "sbx_a"));
        ASSERT_OK(network_add_member(network, "sbx_b"));
        ASSERT_OK(network_add_member(network, "sbx_c"));
        ASSERT_EQ(network_add_member(network, "sbx_b"), -EEXIST);
        ASSERT_TRUE(network_drop_member(network, "sbx_b"));
        ASSERT_FALSE(network_drop_member(network, "sbx_b"));
        ASSERT_OK(network_add_member(network, "sbx_d"));
        ASSERT_EQ(network_get_member(network, "sbx_c")->number, 3);
        ASSERT_EQ(network_get_member(network, "sbx_d")->number, 2);
}

TEST(full) {
        _cleanup_(network_unrefp) Network *network = NULL;
        char name[16];

        ASSERT_OK(network_new("blue", 3, 7, &network));
        for (unsigned i = 0; i < NETWORK_MEMBERS_MAX; i++) {
                snprintf(name, sizeof name, "sbx_%u", i);
                ASSERT_OK(network_add_member(network, name));
        }
        ASSERT_EQ(network_add_member(network, "sbx_more"), -E2BIG);
}

TEST(from_record) {
        static const struct {
                const char *record;
                int r;
        } cases[] = {
                { RECORD("0", ""),               0        },
                { RECORD("255", MEMBER("253")),  0        },
                { RECORD("256", ""),             -EBADMSG },
                { RECORD("-1", ""),              -EBADMSG },
                { RECORD("0", MEMBER("0")),      -EBADMSG },
                { RECORD("0", MEMBER("254")),    -EBADMSG },
                { RECORD("0", "7"),              -EBADMSG },
                { "{}",                          -EBADMSG },
                { "",                            -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(network_unrefp) Network *network = NULL;

                ASSERT_EQ(network_from_record(cases[i].record, &network), cases[i].r);
        }
}
