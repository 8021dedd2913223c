/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

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

/* What the fake has as /etc/environment. */
static void read_file(Core *c, char ret[4096]) {
        int fd = openat(c->fsd.root_fd, "file.etc.environment", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, ret, 4095);

        ASSERT_TRUE(n >= 0);
        ret[n] = 0;
        if (fd >= 0)
                close(fd);
}

static void check(Core *c, const char *key, const char *value) {
        char body[128], command[160];

        snprintf(body, sizeof body, "{\"key\":\"%s\"}", key);
        snprintf(command, sizeof command, "{\"command\":\"printf '%%s' \\\"${%s-(none)}\\\"\"}", key);
        REQUEST(c, "POST", path("/env/get"), body, r);
        REQUEST(c, "POST", path("/exec"), command, seen);
        REQUEST(c, "GET", path("/env"), NULL, list);

        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "key"), key);
        ASSERT_EQ(json_is_true(json_object_get(r.json, "exists")), value != NULL);
        ASSERT_TRUE(streq_ptr(json_string_value(json_object_get(r.json, "value")), value));
        ASSERT_STREQ(reply_string(&seen, "stdout"), value ?: "(none)");
        ASSERT_TRUE(streq_ptr(json_string_value(json_object_get(json_object_get(list.json, "vars"), key)), value));
        ASSERT_EQ(reply_integer(&list, "count"), (json_int_t) json_object_size(json_object_get(list.json, "vars")));
}

TEST(cycle) {
        _cleanup_(core_stop) Core c = {};
        char file[4096];

        core_start(&c);
        {
                REQUEST(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"env\":{\"BORN\":\"yes\"}}", r);
                snprintf(id, sizeof id, "%s", reply_string(&r, "id"));
        }
        check(&c, "MY_VAR", NULL);
        check(&c, "HOME", "/root");
        check(&c, "BORN", "yes");
        {
                REQUEST(&c, "POST", path("/env"), "{\"vars\":{\"MY_VAR\":\"test123\",\"B\":\"x\\ny=z\"}}", r);

                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(reply_integer(&r, "count"), 2);
                ASSERT_NULL(json_object_get(r.json, "warning"));
        }
        check(&c, "MY_VAR", "test123");
        check(&c, "B", "x\ny=z");
        read_file(&c, file);
        ASSERT_NOT_NULL(strstr(file, "\nMY_VAR=test123\n"));
        ASSERT_NOT_NULL(strstr(file, "\nB=\"x\\ny=z\"\n"));

        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        check(&c, "MY_VAR", "test123");
        {
                REQUEST(&c, "POST", path("/env/delete"), "{\"key\":\"MY_VAR\"}", r);
                REQUEST(&c, "POST", path("/env/delete"), "{\"key\":\"BORN\"}", born);
                REQUEST(&c, "POST", path("/env/delete"), "{\"key\":\"NEVER\"}", never);

                ASSERT_STREQ(reply_string(&r, "deleted"), "MY_VAR");
                ASSERT_EQ(born.status, 200);
                ASSERT_EQ(never.status, 200);
        }
        check(&c, "MY_VAR", NULL);
        check(&c, "BORN", NULL);
        read_file(&c, file);
        ASSERT_NULL(strstr(file, "MY_VAR"));
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        check(&c, "BORN", NULL);
        check(&c, "B", "x\ny=z");
}

/* Who comes while the file is being written waits for the next writing. */
TEST(at_once) {
        _cleanup_(core_stop) Core c = {};
        Client clients[8];
        char file[4096];

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                char body[64];

                snprintf(body, sizeof body, "{\"vars\":{\"V%zu\":\"%zu\"}}", i, i);
                client_open(&c, clients + i, "POST", path("/env"), body);
        }
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                _cleanup_(reply_done) Reply r = {};
                char line[16];

                client_wait(clients + i, &r);
                ASSERT_EQ(r.status, 200);
                snprintf(line, sizeof line, "\nV%zu=%zu\n", i, i);
                read_file(&c, file);
                ASSERT_NOT_NULL(strstr(file, line));
        }
}

TEST(refusals_change_nothing) {
        static const struct {
                const char *route, *body;
                unsigned status;
        } cases[] = {
                { "/env",        "{}",                                  400 },
                { "/env",        "{\"vars\":{}}",                       400 },
                { "/env",        "{\"vars\":[\"A=1\"]}",                400 },
                { "/env",        "{\"vars\":{\"A\":1}}",                400 },
                { "/env",        "{\"vars\":{\"A\":\"1\",\"\":\"x\"}}", 400 },
                { "/env",        "{\"vars\":{\"A\":\"1\",\"B C\":\"x\"}}", 400 },
                { "/env",        "{\"vars\":{\"A\":\"1\",\"B=C\":\"x\"}}", 400 },
                { "/env",        "{\"vars\":{\"A\":\"1\",\"1B\":\"x\"}}", 400 },
                { "/env",        "{\"vars\":{\"A\":\"1\",\"B\":\"\\u0000\"}}", 400 },
                { "/env/get",    "{}",                                  400 },
                { "/env/get",    "{\"key\":\"a b\"}",                   400 },
                { "/env/delete", "{\"key\":\"\"}",                      400 },
                { "/env/delete", "{\"key\":\"x;y\"}",                   400 },
        };
        _cleanup_(core_stop) Core c = {};
        _cleanup_(json_decrefp) json_t *large = NULL;
        _cleanup_free_ char *value = NULL, *text = NULL;

        core_start(&c);
        core_create(&c, id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&c, "POST", path(cases[i].route), cases[i].body, r);

                if (r.status != cases[i].status)
                        print_error("%s: %u %s\n", cases[i].body, r.status, r.body);
                ASSERT_EQ(r.status, cases[i].status);
        }
        value = malloc(70001);
        memset(value, 'x', 70000);
        value[70000] = 0;
        large = json_pack("{s:{s:s}}", "vars", "A", value);
        text = json_dumps(large, 0);
        {
                REQUEST(&c, "POST", path("/env"), text, r);
                ASSERT_EQ(r.status, 413);
        }
        check(&c, "A", NULL);
}

TEST(file_that_cannot_be_written) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        core_create(&c, id);
        c.fsd.fail_method = "WriteSmall";
        c.fsd.fail_name = BUS_ERROR_FILE_ACCESS;
        {
                REQUEST(&c, "POST", path("/env"), "{\"vars\":{\"A\":\"1\"}}", r);

                ASSERT_EQ(r.status, 200);
                ASSERT_NOT_NULL(json_object_get(r.json, "warning"));
        }
        check(&c, "A", "1");
}
