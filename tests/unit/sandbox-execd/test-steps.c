/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>

#include "libsandbox/string-util.h"
#include "sandbox-execd/layer.h"
#include "sandbox-execd/sandbox-steps.h"
#include "tests/test.h"

TEST(table) {
        for (unsigned i = 0; i < n_sandbox_steps; i++) {
                char number[16];

                ASSERT_NOT_NULL(sandbox_steps[i].apply);
                ASSERT_EQ(sandbox_step_find(sandbox_steps[i].name), i);
                snprintf(number, sizeof number, "%u", i);
                ASSERT_EQ(sandbox_step_find(number), i);
        }
        ASSERT_EQ(sandbox_step_find("nonsense"), UINT_MAX);
        ASSERT_EQ(sandbox_step_find("99"), UINT_MAX);
        ASSERT_STREQ(sandbox_steps[n_sandbox_steps_parked].name, "limits");
}

TEST(end_reasons) {
        for (int i = 0; i < _END_REASON_MAX; i++)
                ASSERT_FALSE(isempty(end_reason_to_string((EndReason) i)));
        ASSERT_STREQ(end_reason_to_string(END_INIT_DIED), "init-died");
}

TEST(layer_kinds) {
        ASSERT_EQ(layer_kind_from_string("layer"), LAYER_LOWER);
        ASSERT_EQ(layer_kind_from_string("upper"), LAYER_UPPER);
        ASSERT_EQ(layer_kind_from_string("usr"), LAYER_USR);
        ASSERT_TRUE(layer_kind_from_string("") < 0);
}

TEST(backoff) {
        uint64_t previous = 0;

        ASSERT_EQ(systemd_backoff_usec(0), 50 * USEC_PER_MSEC);
        for (unsigned i = 0; i < 100; i++) {
                ASSERT_TRUE(systemd_backoff_usec(i) >= previous);
                previous = systemd_backoff_usec(i);
        }
        ASSERT_EQ(previous, 5 * USEC_PER_SEC);
}
