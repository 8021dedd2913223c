/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* What a sandbox may reach: what is shown is what the kernel and the name service were told, whoever fails in between. */

static void expect(Core *c, const char *method, const char *path, const char *body, unsigned status, const char *text) {
        REQUEST(c, method, path, body, r);

        if (r.status != status || (text && !strstr(r.body, text)))
                print_error("%s %s: %u %s\n", method, path, r.status, r.body);
        ASSERT_EQ(r.status, status);
        if (text)
                ASSERT_NOT_NULL(strstr(r.body, text));
}

#define LIST "{\"allow\":[\"Web.test\",\"*.sub.test:443\",\"192.0.2.0/24\"]}"

static void make(Core *c, const char *egress, char ret[40]) {
        char body[512];

        snprintf(body, sizeof body, "{\"image\":\"test\",\"network\":true%s%s}", egress ? ",\"egress\":" : "", egress ?: "");
        REQUEST(c, "POST", "/sandbox/sandboxes", body, r);
        ASSERT_EQ(r.status, 200);
        snprintf(ret, 40, "%s", reply_string(&r, "id"));
}

static void path_of(const char *id, const char *rest, char ret[96]) {
        snprintf(ret, 96, "/sandbox/sandboxes/%s%s", id, rest);
}

TEST(with_the_sandbox) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[96];

        core_start(&c);
        make(&c, LIST, id);
        ASSERT_EQ(c.netd.n_lists, 1);
        ASSERT_EQ(c.netd.lists[0].n_prefixes, 1);
        ASSERT_EQ(c.netd.lists[0].n_marks, 2);
        ASSERT_EQ(c.dns.n_lists, 1);
        ASSERT_EQ(c.dns.lists[0].n, 2);
        ASSERT_STREQ(c.dns.lists[0].first, "web.test");
        ASSERT_STREQ(c.dns.lists[0].address, "10.201.3.4");
        path_of(id, "", path);
        expect(&c, "GET", path, NULL, 200, "\"egress\":{\"allow\":[\"web.test\",\"*.sub.test:443\",\"192.0.2.0/24\"]}");
        expect(&c, "DELETE", path, NULL, 200, NULL);
        ASSERT_EQ(c.netd.n_lists, 0);
        core_stop_sandboxd(&c);
        core_start_sandboxd(&c);
        ASSERT_EQ(c.dns.n_lists, 0);
}

TEST(changes) {
        _cleanup_(core_stop) Core c = {};
        char id[40], path[96];

        core_start(&c);
        make(&c, NULL, id);
        ASSERT_EQ(c.netd.n_lists, 0);
        path_of(id, "/egress", path);
        expect(&c, "GET", path, NULL, 200, "{\"mode\":\"all\",\"allow\":null}");
        expect(&c, "PUT", path, LIST, 200, "\"mode\":\"list\"");
        ASSERT_EQ(c.netd.lists[0].n_marks, 2);
        expect(&c, "GET", path, NULL, 200, "\"connectionsAllowed\":3,\"packetsDenied\":4,\"namesAllowed\":5,"
                                           "\"namesDenied\":6,\"namesPrivate\":7");
        expect(&c, "GET", path, NULL, 200, "\"address\":\"192.0.2.1\",\"protocol\":\"tcp\",\"port\":443");
        expect(&c, "GET", path, NULL, 200, "\"decision\":\"allowed\",\"name\":\"web.test\"");
        expect(&c, "PUT", path, "{\"allow\":[]}", 200, "{\"mode\":\"none\",\"allow\":[]}");
        ASSERT_EQ(c.netd.lists[0].n_marks, 0);
        ASSERT_EQ(c.dns.lists[0].n, 0);
        expect(&c, "PUT", path, "{\"allow\":null}", 200, "\"mode\":\"all\"");
        ASSERT_EQ(c.netd.n_lists, 0);
        ASSERT_EQ(c.dns.n_lists, 0);
        expect(&c, "GET", "/sandbox/events/history?topic=sandbox.egress", NULL, 200, "\"total\":3");
}

TEST(refused) {
        static const char *const bad[] = { "{}", "{\"allow\":\"x\"}", "{\"allow\":[1]}", "{\"allow\":[\"a b\"]}",
                                           "{\"allow\":[\"10.0.0.1/8\"]}" };
        _cleanup_(core_stop) Core c = {};
        char id[40], closed[40], path[96], body[160];

        core_start(&c);
        make(&c, NULL, id);
        core_create(&c, closed);
        path_of(id, "/egress", path);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                expect(&c, "PUT", path, bad[i], 400, NULL);
                snprintf(body, sizeof body, "{\"image\":\"test\",\"network\":true,\"egress\":%s}", bad[i]);
                expect(&c, "POST", "/sandbox/sandboxes", body, 400, "egress");
        }
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"egress\":{\"allow\":[]}}", 400, "network");
        path_of(closed, "/egress", path);
        expect(&c, "PUT", path, "{\"allow\":[]}", 409, "no network");
        ASSERT_EQ(c.netd.n_lists, 0);
}

/* What was not answered with success is not in force, and is not shown. */
TEST(failures) {
        static const char *const methods[] = { "Restrict", NULL };
        _cleanup_(core_stop) Core c = {};
        char id[40], path[96];

        core_start(&c);
        make(&c, "{\"allow\":[\"web.test\"]}", id);
        path_of(id, "/egress", path);
        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                c.netd.fail_method = methods[i];
                c.netd.fail_name = BUS_ERROR_INTERRUPTED;
                c.dns.n_failures = methods[i] ? 0 : 1;
                expect(&c, "PUT", path, LIST, 503, "as the test wants it");
                expect(&c, "GET", path, NULL, 200, "\"allow\":[\"web.test\"]");
                ASSERT_EQ(c.netd.lists[0].n_marks, 1);
                ASSERT_EQ(c.dns.lists[0].n, 1);
        }
}

/* A sandbox that cannot be closed as was asked for is none. */
TEST(creation_fails) {
        _cleanup_(core_stop) Core c = {};

        core_start(&c);
        c.dns.n_failures = 1;
        expect(&c, "POST", "/sandbox/sandboxes", "{\"image\":\"test\",\"network\":true,\"egress\":{\"allow\":[\"web.test\"]}}",
               503, "as the test wants it");
        expect(&c, "GET", "/sandbox/sandboxes", NULL, 200, "\"total\":0");
        ASSERT_EQ(c.netd.n_lists, 0);
}

TEST(a_daemon_that_ends_is_asked_again) {
        static const char *const methods[] = { "Restrict", "Release" };

        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                for (unsigned after = 0; after < 2; after++) {
                        _cleanup_(core_stop) Core c = {};
                        char id[40], path[96];

                        core_start(&c);
                        make(&c, NULL, id);
                        path_of(id, "/egress", path);
                        c.netd.cut_before = after ? NULL : methods[i];
                        c.netd.cut_after = after ? methods[i] : NULL;
                        expect(&c, "PUT", path, LIST, 200, NULL);
                        ASSERT_EQ(c.netd.n_lists, 1);
                        expect(&c, "PUT", path, "{\"allow\":null}", 200, NULL);
                        ASSERT_EQ(c.netd.n_lists, 0);
                }
}

/* Where the host's name server cannot be asked from a sandbox, the list brings one. */
TEST(resolver) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(core_stop) Core c = {};
        char id[40], path[96];

        core_start(&c);
        make(&c, NULL, id);
        c.netd.resolver = "10.201.0.1";
        path_of(id, "/egress", path);
        expect(&c, "PUT", path, LIST, 200, NULL);
        ASSERT_OK(read_text_at(c.fsd.root_fd, "file.etc.resolv.conf", 4096, &text));
        ASSERT_STREQ(text, "nameserver 10.201.0.1");
}

TEST(usage) {
        _cleanup_(core_stop) Core c = {};
        char id[40], closed[40], path[96];

        core_start(&c);
        make(&c, NULL, id);
        core_create(&c, closed);
        path_of(id, "/metrics", path);
        expect(&c, "GET", path, NULL, 200, "\"networkRxBytes\":1234,\"networkTxBytes\":567");
        path_of(closed, "/metrics", path);
        expect(&c, "GET", path, NULL, 200, "\"networkRxBytes\":0,\"networkTxBytes\":0");
        expect(&c, "GET", "/sandbox/sandboxes?metrics=true", NULL, 200, "\"networkRxBytes\":1234");
        expect(&c, "GET", "/sandbox/metrics?format=prometheus", NULL, 200, "sandbox_network_sent_bytes_total{sandbox=\"");
        /* Figures that cannot be had are no reason to have none. */
        path_of(id, "/metrics", path);
        c.netd.fail_method = "Usage";
        c.netd.fail_name = BUS_ERROR_INTERRUPTED;
        expect(&c, "GET", path, NULL, 200, "\"pids\":");
}
