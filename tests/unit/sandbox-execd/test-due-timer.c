/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-execd/due-timer.h"
#include "tests/test.h"

TEST(name) {
        char name[DUE_TIMER_NAME_MAX];
        uint64_t usec;

        due_timer_name(UINT64_MAX - 1, name);
        ASSERT_STREQ(name, "sandbox-due@18446744073709551614.timer");
        ASSERT_OK(due_timer_from_name(name, &usec));
        ASSERT_TRUE(usec == UINT64_MAX - 1);
        ASSERT_EQ(due_timer_from_name("sandbox-due@.timer", &usec), -EINVAL);
        ASSERT_EQ(due_timer_from_name("sandbox-due@12.service", &usec), -EINVAL);
        ASSERT_EQ(due_timer_from_name("sandbox-due@99999999999999999999.timer", &usec), -EINVAL);
        ASSERT_EQ(due_timer_from_name("other@1.timer", &usec), -EINVAL);
}

TEST(delay) {
        ASSERT_EQ(due_timer_delay(1000, 400), 600);
        ASSERT_EQ(due_timer_delay(1000, 1000), 1);
        ASSERT_EQ(due_timer_delay(1000, 5000), 1);
}

TEST(stale) {
        static const struct {
                uint64_t deadline, next, now;
                bool stale;
        } cases[] = {
                { 90,  200,           100, true  }, /* fired */
                { 100, 200,           100, true  },
                { 150, 200,           100, false }, /* armed by the daemon this moment */
                { 200, 200,           100, false }, /* the one */
                { 300, 200,           100, true  },
                { 300, USEC_INFINITY, 100, false },
                { 90,  USEC_INFINITY, 100, true  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(due_timer_is_stale(cases[i].deadline, cases[i].next, cases[i].now), cases[i].stale);
}

TEST(properties) {
        sd_bus *server, *client;
        sd_bus_message *m;

        bus_pair(&server, &client);
        ASSERT_OK(sd_bus_message_new_method_call(client, &m, NULL, "/x", "x.y", "Z"));
        ASSERT_OK(sd_bus_message_open_container(m, 'a', "(sv)"));
        ASSERT_OK(due_timer_append_properties(m, 1));
        ASSERT_OK(sd_bus_message_close_container(m));
        sd_bus_message_unref(m);
        sd_bus_close_unref(client);
        sd_bus_close_unref(server);
}
