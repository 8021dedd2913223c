/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netlink/errno.h>

#include "sandbox-netd/link.h"
#include "tests/test.h"

#define ID "0123456789abcdef0123456789abcdef"

TEST(names) {
        LinkName name;

        link_name_egress(ID, name);
        ASSERT_STREQ(name, "sbe0123456789ab");
        link_name_member(ID, 255, name);
        ASSERT_STREQ(name, "sbmff0123456789");
        ASSERT_TRUE(strlen(name) < IFNAMSIZ);
}

TEST(errors) {
        ASSERT_EQ(netlink_errno(0), 0);
        ASSERT_EQ(netlink_errno(-NLE_EXIST), -EEXIST);
        ASSERT_EQ(netlink_errno(-NLE_NODEV), -ENODEV);
        ASSERT_EQ(netlink_errno(-NLE_MSG_TOOSHORT), -EIO);
}
