/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/sandbox-id.h"
#include "tests/test.h"

TEST(forms) {
        char scope[64], digits[SANDBOX_ID_SHORT + 1];
        sd_id128_t machine;
        SandboxId a, b;

        ASSERT_OK(sandbox_id_random(&a));
        ASSERT_OK(sandbox_id_random(&b));
        ASSERT_TRUE(sandbox_id_is_valid(a.digits));
        ASSERT_NE(strcmp(a.digits, b.digits), 0);
        if (sd_id128_get_machine(&machine) >= 0) /* else there is nothing that names the node */
                ASSERT_EQ(memcmp(a.digits + 20, b.digits + 20, 4), 0);

        sandbox_id_scope(a.digits, scope);
        ASSERT_OK(sandbox_id_from_scope(scope, digits));
        ASSERT_EQ(memcmp(digits, a.digits, SANDBOX_ID_SHORT), 0);
}

TEST(refused) {
        static const char *const units[] = { "sandbox-.scope", "sandbox-0123456789abcdef01234567.service",
                                             "sandbox-0123456789ABCDEF01234567.scope", "x",
                                             "sandbox-0123456789abcdef012345678.scope" };
        char digits[SANDBOX_ID_SHORT + 1];

        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                ASSERT_EQ(sandbox_id_from_scope(units[i], digits), -EINVAL);
        ASSERT_FALSE(sandbox_id_is_valid("../../../../../../../../../../etc"));
        ASSERT_FALSE(sandbox_id_is_valid(NULL));
}

TEST(object_ids) {
        char id[40];

        ASSERT_OK(object_id_random("bg", id));
        ASSERT_TRUE(object_id_is_valid(id, "bg"));
        ASSERT_FALSE(object_id_is_valid(id, "job"));
        ASSERT_FALSE(object_id_is_valid("bg_..", "bg"));
}
