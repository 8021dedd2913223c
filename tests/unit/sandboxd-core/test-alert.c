/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/alert.h"

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "tests/test.h"

TEST(names) {
        for (AlertMetric i = 0; i < _ALERT_METRIC_MAX; i++)
                ASSERT_EQ(alert_metric_from_string(alert_metric_to_string(i)), i);
        for (AlertAction i = 0; i < _ALERT_ACTION_MAX; i++)
                ASSERT_EQ(alert_action_from_string(alert_action_to_string(i)), i);
        ASSERT_EQ(alert_metric_from_string("disk"), _ALERT_METRIC_INVALID);
        ASSERT_EQ(alert_metric_from_string(NULL), _ALERT_METRIC_INVALID);
        ASSERT_EQ(alert_action_from_string("reboot"), _ALERT_ACTION_INVALID);
        ASSERT_NULL(alert_metric_to_string(_ALERT_METRIC_MAX));
}

/* It fires when the figure comes up to the threshold, and not again before it was clearly below. */
TEST(edges) {
        static const struct {
                double value;
                bool fires, triggered;
        } steps[] = {
                { 0,     false, false },
                { 79.9,  false, false },
                { 80,    true,  true  },
                { 95,    false, true  },
                { 79,    false, true  }, /* trembling */
                { 81,    false, true  },
                { 75.9,  false, false },
                { 79.9,  false, false },
                { 100,   true,  true  },
                { 0,     false, false },
        };
        Alert a = { .threshold = 80 }, always = {};

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                ASSERT_EQ(alert_step(&a, steps[i].value), steps[i].fires);
                ASSERT_EQ(a.triggered, steps[i].triggered);
        }
        /* nothing is below a threshold of nothing */
        ASSERT_TRUE(alert_step(&always, 0));
        ASSERT_FALSE(alert_step(&always, 0));
}

static bool near(double a, double b) {
        return a > b - 0.001 && a < b + 0.001;
}

TEST(values) {
        const SandboxStats stats = { .cpu_usec = 3 * USEC_PER_SEC, .memory_current = 64 * MiB, .memory_max = 256 * MiB,
                                     .pids_current = 12, .cpu_pressure = 1234, .io_pressure = UINT64_MAX };
        const SandboxStats later = { .cpu_usec = 4 * USEC_PER_SEC };
        Alert a = { .metric = ALERT_CPU };

        ASSERT_TRUE(alert_value(&a, &stats, 2, 10 * USEC_PER_SEC) < 0); /* one look is no rate */
        ASSERT_TRUE(near(alert_value(&a, &later, 2, 12 * USEC_PER_SEC), 25));
        ASSERT_TRUE(near(alert_value(&a, &stats, 2, 13 * USEC_PER_SEC), 0)); /* it never goes back */
        ASSERT_TRUE(alert_value(&a, &stats, 0, 14 * USEC_PER_SEC) < 0);
        a.metric = ALERT_MEMORY;
        ASSERT_TRUE(near(alert_value(&a, &stats, 1, 0), 25));
        ASSERT_TRUE(alert_value(&a, &later, 1, 0) < 0);
        a.metric = ALERT_PIDS;
        ASSERT_TRUE(near(alert_value(&a, &stats, 1, 0), 12));
        a.metric = ALERT_PSI_CPU;
        ASSERT_TRUE(near(alert_value(&a, &stats, 1, 0), 12.34));
        a.metric = ALERT_PSI_IO;
        ASSERT_TRUE(alert_value(&a, &stats, 1, 0) < 0); /* the kernel has none */
}
