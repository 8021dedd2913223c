/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

static char id[40];

static const char *path(const char *rest) {
        static char text[4][256];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s%s", id, rest);
        return text[i];
}

/* The fake keeps files elsewhere than the commands, which are children of the test, look for them: what the machine's
 * bash says of the missing file is enough to see that it was started with it. */
TEST(execute) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        core_create(&c, id);
        {
                REQUEST(&c, "POST", path("/interpret/execute"), "{\"code\":\"echo 1\",\"language\":\"bash\"}", r);

                ASSERT_EQ(r.status, 200);
                ASSERT_STREQ(reply_string(&r, "output"), "");
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "/tmp/code_"));
                ASSERT_EQ(reply_integer(&r, "exitCode"), 127);
                assert_true(reply_integer(&r, "executionTime") >= 1);
        }
        c.execd.fail_method = "Exec";
        c.execd.fail_name = BUS_ERROR_COMMAND_NOT_FOUND;
        {
                REQUEST(&c, "POST", path("/interpret/execute"), "{\"code\":\"\",\"language\":\"javascript\"}", r);

                ASSERT_EQ(r.status, 400);
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "'node'"));
        }
        c.fsd.fail_method = "WriteSmall";
        c.fsd.fail_name = BUS_ERROR_NO_SPACE;
        {
                REQUEST(&c, "POST", path("/interpret/execute"), "{\"code\":\"1\"}", r);
                ASSERT_EQ(r.status, 507);
        }
        {
                REQUEST(&c, "GET", path("/interpret/kernels"), NULL, r);
                ASSERT_EQ(json_array_size(r.json), 4);
        }
}

TEST(refusals) {
        static const struct {
                const char *route, *body;
        } cases[] = {
                { "execute", "{}" },
                { "execute", "{\"code\":1}" },
                { "execute", "{\"code\":\"\\u0000\"}" },
                { "execute", "{\"code\":\"1\",\"language\":\"ruby\"}" },
                { "execute", "{\"code\":\"1\",\"language\":\"../x\"}" },
                { "install", "{}" },
                { "install", "{\"packages\":[]}" },
                { "install", "{\"packages\":\"requests\"}" },
                { "install", "{\"packages\":[1]}" },
                { "install", "{\"packages\":[\"-r/etc/passwd\"]}" },
                { "install", "{\"packages\":[\"ok\",\"a;b\"]}" },
                { "install", "{\"packages\":[\"a\"],\"manager\":\"cargo\"}" },
        };
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char route[64];

                snprintf(route, sizeof route, "/interpret/%s", cases[i].route);
                REQUEST(&c, "POST", path(route), cases[i].body, r);
                ASSERT_EQ(r.status, 400);
        }
        ASSERT_EQ(c.execd.n_execs, 0);
}
