/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Exposed ports: the rows and what listens are two things, and either may be lost. */

typedef struct Ports {
        Core core;
        char id[40], path[80];
} Ports;

static void start(Ports *p) {
        core_start(&p->core);
        core_create(&p->core, p->id);
        snprintf(p->path, sizeof p->path, "/sandbox/sandboxes/%s/ports", p->id);
}

static void stop(Ports *p) {
        core_stop(&p->core);
}

static void expect(Ports *p, const char *method, const char *body, unsigned status, const char *text) {
        REQUEST(&p->core, method, p->path, body, r);

        if (r.status != status || (text && !strstr(r.body, text)))
                print_error("%s %s: %u %s\n", method, body ? body : "", r.status, r.body);
        ASSERT_EQ(r.status, status);
        if (text)
                ASSERT_NOT_NULL(strstr(r.body, text));
}

static void expect_list(Ports *p, const char *list) {
        _cleanup_free_ char *text = NULL;
        REQUEST(&p->core, "GET", p->path, NULL, r);

        ASSERT_EQ(r.status, 200);
        text = json_dumps(json_object_get(r.json, "ports"), JSON_COMPACT);
        ASSERT_STREQ(text, list);
}

#define ROW(container, host, protocol, state)                                                      \
        "{\"containerPort\":" #container ",\"hostPort\":" #host ",\"protocol\":\"" protocol        \
        "\",\"state\":\"" state "\"}"

TEST(expose_and_remove) {
        _cleanup_(stop) Ports p = {};

        start(&p);
        expect(&p, "POST", "{\"containerPort\":8080,\"hostPort\":null}", 200, "\"hostPort\":8080");
        expect(&p, "POST", "{\"containerPort\":8080}", 409, "Port 8080/tcp already exposed");
        expect(&p, "POST", "{\"containerPort\":8080,\"protocol\":\"udp\",\"hostPort\":9000}", 200, "9000");
        expect(&p, "POST", "{\"containerPort\":1,\"hostPort\":80}", 403, "80");
        expect(&p, "POST", "{\"containerPort\":\"80\"}", 400, "containerPort");
        expect(&p, "POST", "{\"containerPort\":80,\"protocol\":\"sctp\"}", 400, "protocol must be tcp or udp");
        expect_list(&p, "[" ROW(8080, 8080, "tcp", "active") "," ROW(8080, 9000, "udp", "active") "]");
        core_stop_sandboxd(&p.core);
        core_start_sandboxd(&p.core);
        expect(&p, "DELETE", "{\"containerPort\":8080,\"protocol\":\"udp\"}", 200, "{\"removed\":8080}");
        expect_list(&p, "[" ROW(8080, 8080, "tcp", "active") "]");
        expect(&p, "DELETE", "{\"containerPort\":8080}", 200, "{\"removed\":8080}");
        expect(&p, "DELETE", "{\"containerPort\":8080}", 404, "Port 8080 is not exposed");
        ASSERT_EQ(p.core.execd.n_ports, 0);
}

TEST(answers_that_are_lost) {
        _cleanup_(stop) Ports p = {};

        start(&p);
        p.core.execd.cut_after = "Expose";
        expect(&p, "POST", "{\"containerPort\":8080}", 200, "\"hostPort\":8080");
        ASSERT_EQ(p.core.execd.n_ports, 1);
        p.core.execd.fail_method = "Expose";
        p.core.execd.fail_name = BUS_ERROR_WRONG_STATE;
        expect(&p, "POST", "{\"containerPort\":81}", 409, "as the test wants it");
        expect_list(&p, "[" ROW(8080, 8080, "tcp", "active") "]");
        p.core.execd.fail_method = "Unexpose";
        p.core.execd.fail_name = BUS_ERROR_UNAVAILABLE;
        expect(&p, "DELETE", "{\"containerPort\":8080}", 503, NULL);
        expect_list(&p, "[" ROW(8080, 8080, "tcp", "active") "]");
        p.core.execd.cut_after = "Unexpose";
        expect(&p, "DELETE", "{\"containerPort\":8080}", 200, NULL);
        expect_list(&p, "[]");
}

TEST(either_is_lost) {
        _cleanup_(stop) Ports p = {};

        start(&p);
        /* sandboxd was killed before it wrote the row */
        fake_execd_add_port(&p.core.execd, p.core.execd.sandboxes[0].id, 7, true, 20007);
        expect_list(&p, "[" ROW(7, 20007, "udp", "active") "]");
        expect(&p, "POST", "{\"containerPort\":7,\"protocol\":\"udp\"}", 409, "already exposed");
        /* somebody stopped the unit */
        p.core.execd.n_ports = 0;
        expect_list(&p, "[" ROW(7, 20007, "udp", "mapped") "]");
        expect(&p, "DELETE", "{\"containerPort\":7}", 200, NULL);
        expect_list(&p, "[]");
}

TEST(two_at_once) {
        _cleanup_(stop) Ports p = {};
        unsigned good = 0, conflicts = 0;
        Client clients[4];

        start(&p);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_open(&p.core, clients + i, "POST", p.path, "{\"containerPort\":8080}");
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                _cleanup_(reply_done) Reply r = {};

                client_wait(clients + i, &r);
                good += r.status == 200;
                conflicts += r.status == 409;
                client_close(clients + i);
        }
        ASSERT_EQ(good, 1);
        ASSERT_EQ(conflicts, 3);
        expect_list(&p, "[" ROW(8080, 8080, "tcp", "active") "]");
}

TEST(no_more_than_so_many) {
        _cleanup_(stop) Ports p = {};
        char body[64];

        start(&p);
        for (unsigned i = 0; i < 16; i++) {
                snprintf(body, sizeof body, "{\"containerPort\":%u}", 5000 + i);
                expect(&p, "POST", body, 200, NULL);
        }
        expect(&p, "POST", "{\"containerPort\":6000}", 429, "Maximum port limit reached: 16");
}

TEST(they_go_with_the_sandbox) {
        _cleanup_(stop) Ports p = {};
        uint64_t n;
        char path[80];

        start(&p);
        expect(&p, "POST", "{\"containerPort\":8080}", 200, NULL);
        fake_execd_gone(&p.core.execd, p.core.execd.sandboxes[0].id, "init-died");
        {
                snprintf(path, sizeof path, "/sandbox/sandboxes/%s", p.id);
                REQUEST(&p.core, "GET", path, NULL, r);
                ASSERT_STREQ(reply_string(&r, "status"), "failed");
        }
        expect_list(&p, "[" ROW(8080, 8080, "tcp", "mapped") "]");
        expect(&p, "POST", "{\"containerPort\":8081}", 409, "not running");
        {
                REQUEST(&p.core, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        expect(&p, "GET", NULL, 404, NULL);
        ASSERT_OK(store_count_objects(p.core.manager->store, "port", NULL, NULL, &n));
        ASSERT_EQ(n, 0);
}
