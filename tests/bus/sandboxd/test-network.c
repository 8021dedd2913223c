/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Networks: what is written down and what is wired, whoever fails or ends in between. */

static void expect(Core *c, const char *method, const char *path, const char *body, unsigned status, const char *text) {
        REQUEST(c, method, path, body, r);

        if (r.status != status || (text && !strstr(r.body, text)))
                print_error("%s %s: %u %s\n", method, path, r.status, r.body);
        ASSERT_EQ(r.status, status);
        if (text)
                ASSERT_NOT_NULL(strstr(r.body, text));
}

static void make_network(Core *c, char ret[40]) {
        REQUEST(c, "POST", "/sandbox/networks", "{\"name\":\"blue\"}", r);

        ASSERT_EQ(r.status, 200);
        snprintf(ret, 40, "%s", reply_string(&r, "id"));
}

static void change(Core *c, const char *network, const char *verb, const char *sandbox, unsigned status) {
        char path[96], body[96];

        snprintf(path, sizeof path, "/sandbox/networks/%s/%s", network, verb);
        snprintf(body, sizeof body, "{\"sandboxId\":\"%s\"}", sandbox);
        expect(c, "POST", path, body, status, NULL);
}

/* As it is shown: how many members there are. */
static size_t count_members(Core *c) {
        REQUEST(c, "GET", "/sandbox/networks", NULL, r);
        json_t *list = json_object_get(r.json, "networks");

        ASSERT_EQ(json_array_size(list), 1);
        return json_array_size(json_object_get(json_array_get(list, 0), "sandboxes"));
}

static const FakeWire *wire_of(Core *c, const char *sandbox, int network) {
        const FakeSandbox *s = NULL;

        for (size_t i = 0; i < c->execd.n_sandboxes; i++)
                if (startswith(c->execd.sandboxes[i].id, sandbox + 4))
                        s = c->execd.sandboxes + i;
        return s ? fake_netd_find(&c->netd, s->id, network) : NULL;
}

static void read_hosts(Core *c, char **ret) {
        ASSERT_OK(read_text_at(c->fsd.root_fd, "file.etc.hosts", 65536, ret));
}

TEST(members) {
        _cleanup_free_ char *with = NULL, *without = NULL;
        _cleanup_(core_stop) Core c = {};
        char one[40], two[40], network[40], path[96];

        core_start(&c);
        core_create(&c, one);
        core_create(&c, two);
        make_network(&c, network);
        expect(&c, "POST", "/sandbox/networks", "{\"name\":\"blue\"}", 409, "already exists");
        change(&c, network, "connect", one, 200);
        change(&c, network, "connect", one, 409);
        change(&c, network, "connect", two, 200);
        ASSERT_EQ(wire_of(&c, one, 0)->number, 1);
        ASSERT_EQ(wire_of(&c, two, 0)->number, 2);
        read_hosts(&c, &with);
        ASSERT_NOT_NULL(strstr(with, "10.202.0.1 sbx_"));
        ASSERT_NOT_NULL(strstr(with, "10.202.0.2 sbx_"));
        change(&c, network, "disconnect", one, 200);
        change(&c, network, "disconnect", one, 409);
        ASSERT_NULL(wire_of(&c, one, 0));
        snprintf(path, sizeof path, "/sandbox/networks/%s", network);
        expect(&c, "DELETE", path, NULL, 200, network);
        ASSERT_EQ(c.netd.n_wires, 0);
        read_hosts(&c, &without);
        ASSERT_NULL(strstr(without, "10.202."));
        expect(&c, "DELETE", path, NULL, 404, NULL);
}

TEST(a_sandbox_that_ends_is_no_member) {
        _cleanup_(core_stop) Core c = {};
        char one[40], network[40], path[96];

        core_start(&c);
        core_create(&c, one);
        make_network(&c, network);
        change(&c, network, "connect", one, 200);
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s", one);
        expect(&c, "DELETE", path, NULL, 200, NULL);
        ASSERT_EQ(count_members(&c), 0);
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        ASSERT_EQ(count_members(&c), 0);
}

TEST(failures_leave_no_member) {
        static const struct {
                const char *execd, *netd, *error;
                unsigned status;
        } cases[] = {
                { "OpenNetwork", NULL,   BUS_ERROR_UNAVAILABLE,     503 },
                { "OpenNetwork", NULL,   BUS_ERROR_NO_SUCH_SANDBOX, 404 },
                { NULL,          "Join", BUS_ERROR_INTERRUPTED,     503 },
                { NULL,          "Join", BUS_ERROR_LIMIT_REACHED,   429 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(core_stop) Core c = {};
                char one[40], network[40];

                core_start(&c);
                core_create(&c, one);
                make_network(&c, network);
                c.execd.fail_method = cases[i].execd;
                c.netd.fail_method = cases[i].netd;
                c.execd.fail_name = c.netd.fail_name = cases[i].error;
                change(&c, network, "connect", one, cases[i].status);
                ASSERT_EQ(count_members(&c), 0);
        }
}

TEST(a_daemon_that_ends_is_asked_again) {
        static const char *const methods[] = { "Join", "Leave" };

        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                for (unsigned after = 0; after < 2; after++) {
                        _cleanup_(core_stop) Core c = {};
                        char one[40], network[40];

                        core_start(&c);
                        core_create(&c, one);
                        make_network(&c, network);
                        c.netd.cut_before = after ? NULL : methods[i];
                        c.netd.cut_after = after ? methods[i] : NULL;
                        change(&c, network, "connect", one, 200);
                        ASSERT_NOT_NULL(wire_of(&c, one, 0));
                        change(&c, network, "disconnect", one, 200);
                        ASSERT_NULL(wire_of(&c, one, 0));
                }
}

TEST(way_out) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"network\":true}", 200, "\"network\":true");
        ASSERT_EQ(c.netd.n_wires, 1);
        ASSERT_FALSE(c.netd.wires[0].member);
        ASSERT_OK(read_text_at(c.fsd.root_fd, "file.etc.resolv.conf", 4096, &text));
        ASSERT_STREQ(text, "nameserver 10.201.0.1");
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\"}", 200, NULL);
        ASSERT_EQ(c.netd.n_calls, 1);
}

/* A sandbox that cannot have what was asked for is none. */
TEST(no_way_out) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        c.netd.fail_method = "Attach";
        c.netd.fail_name = BUS_ERROR_INTERRUPTED;
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"network\":true}", 503, "as the test wants it");
        ASSERT_EQ(c.execd.n_kills, 1);
        expect(&c, "GET", "/sandbox/sandboxes", NULL, 200, "\"total\":0");
}

TEST(not_installed) {
        _cleanup_(core_stop) Core c = { .no_netd = true };

        core_start(&c);
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"network\":true}", 400, "network");
        expect(&c, "POST", "/sandbox/networks", "{\"name\":\"blue\"}", 400, "networks");
        expect(&c, "GET", "/sandbox/networks", NULL, 200, "[]");
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\"}", 200, NULL);
}

static bool was_asked(Core *c, void *userdata) {
        (void) userdata;
        return c->netd.n_calls > 0;
}

static bool is_wired(Core *c, void *userdata) {
        return wire_of(c, userdata, 0);
}

/* sandboxd ends while a wire is being laid: the next one finds that it is missing, and lays it. */
TEST(what_was_left_half_done) {
        _cleanup_(core_stop) Core c = {};
        char one[40], network[40], path[96], body[96];
        Client client;

        core_start(&c);
        core_create(&c, one);
        make_network(&c, network);
        snprintf(path, sizeof path, "/sandbox/networks/%s/connect", network);
        snprintf(body, sizeof body, "{\"sandboxId\":\"%s\"}", one);
        c.netd.cut_before = "Join";
        client_open(&c, &client, "POST", path, body);
        core_wait(&c, was_asked, NULL);
        core_stop_sandboxd(&c);
        client_close(&client);
        ASSERT_NULL(wire_of(&c, one, 0));
        core_start_sandboxd(&c);
        core_wait(&c, is_wired, one);
        ASSERT_EQ(count_members(&c), 1);
}

/* Nothing was under way: nobody is asked. */
TEST(a_quiet_start) {
        _cleanup_(core_stop) Core c = {};
        char one[40], network[40];
        unsigned n;

        core_start(&c);
        core_create(&c, one);
        make_network(&c, network);
        change(&c, network, "connect", one, 200);
        n = c.netd.n_calls;
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        ASSERT_EQ(count_members(&c), 1);
        ASSERT_EQ(c.netd.n_calls, n);
}
