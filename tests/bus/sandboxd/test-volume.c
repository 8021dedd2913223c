/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Volumes over services that fail at the worst moments: what is said of a volume is what is so. */

typedef struct Setup {
        Core core;
        char sandbox[40], volume[40];
} Setup;

static void setup_start(Setup *s) {
        core_start(&s->core);
        core_create(&s->core, s->sandbox);
        {
                REQUEST(&s->core, "POST", "/sandbox/volumes", "{\"name\":\"v\",\"driver\":\"local\",\"size\":\"8M\"}", r);
                ASSERT_EQ(r.status, 200);
                ASSERT_EQ(reply_integer(&r, "size"), 8 << 20);
                snprintf(s->volume, sizeof s->volume, "%s", reply_string(&r, "id"));
        }
}

static void setup_stop(Setup *s) {
        core_stop(&s->core);
}

static unsigned ask(Setup *s, const char *method, const char *rest, const char *body) {
        char path[128];

        snprintf(path, sizeof path, "/sandbox/volumes/%s%s", s->volume, rest);
        {
                REQUEST(&s->core, method, path, body, r);
                return r.status;
        }
}

static unsigned attach(Setup *s, const char *path) {
        char body[256];

        snprintf(body, sizeof body, "{\"sandboxId\":\"%s\",\"mountPath\":\"%s\"}", s->sandbox, path);
        return ask(s, "POST", "/attach", body);
}

static unsigned detach(Setup *s) {
        return ask(s, "POST", "/detach", "{}");
}

/* Where clients are told that it is; "": nowhere. */
static void expect_said(Setup *s, const char *where) {
        char path[128];

        snprintf(path, sizeof path, "/sandbox/volumes/%s", s->volume);
        {
                REQUEST(&s->core, "GET", path, NULL, r);
                const char *said;

                ASSERT_EQ(r.status, 200);
                said = json_string_value(json_object_get(r.json, "mountPath"));
                ASSERT_STREQ(said ?: "", where);
                ASSERT_STREQ(json_string_value(json_object_get(r.json, "sandboxId")) ?: "", *where ? s->sandbox : "");
        }
}

static bool is_settled(Core *c, void *userdata) {
        (void) userdata;
        return c->reconciled && c->manager->n_attended == 0;
}

static void restart(Setup *s) {
        core_stop_sandboxd(&s->core);
        core_start_sandboxd(&s->core);
        core_wait(&s->core, is_settled, NULL);
}

TEST(attach_and_detach) {
        _cleanup_(setup_stop) Setup s = {};
        FakeExecd *execd = &s.core.execd;

        setup_start(&s);
        ASSERT_EQ(attach(&s, "/data"), 200);
        ASSERT_EQ(execd->n_volumes, 1);
        ASSERT_STREQ(execd->volumes[0].path, "/data");
        ASSERT_EQ(execd->volumes[0].bytes, 8 << 20);
        ASSERT_EQ(attach(&s, "/data"), 200);
        ASSERT_EQ(attach(&s, "/other"), 409);
        ASSERT_EQ(attach(&s, "/proc"), 400);
        ASSERT_EQ(ask(&s, "DELETE", "", NULL), 409);
        restart(&s);
        expect_said(&s, "/data");
        ASSERT_EQ(detach(&s), 200);
        ASSERT_EQ(execd->n_volumes, 0);
        ASSERT_EQ(detach(&s), 200);
        expect_said(&s, "");
        ASSERT_EQ(ask(&s, "DELETE", "", NULL), 200);
        ASSERT_EQ(s.core.fsd.n_volumes_removed, 1);
        ASSERT_EQ(detach(&s), 404);
}

TEST(refused_by_a_service) {
        _cleanup_(setup_stop) Setup s = {};
        FakeExecd *execd = &s.core.execd;

        setup_start(&s);
        s.core.fsd.fail_method = "OpenVolume";
        s.core.fsd.fail_name = BUS_ERROR_UNAVAILABLE;
        ASSERT_EQ(attach(&s, "/data"), 503);
        expect_said(&s, "");
        execd->fail_method = "AttachVolume";
        execd->fail_name = BUS_ERROR_PATH_REFUSED;
        ASSERT_EQ(attach(&s, "/data"), 400);
        expect_said(&s, "");
        ASSERT_EQ(attach(&s, "/data"), 200);
        execd->fail_method = "DetachVolume";
        execd->fail_name = BUS_ERROR_WRONG_STATE;
        ASSERT_EQ(detach(&s), 409);
        expect_said(&s, "/data");
        execd->fail_method = "DetachVolume";
        execd->fail_name = BUS_ERROR_NO_SUCH_SANDBOX;
        ASSERT_EQ(detach(&s), 200);
        expect_said(&s, "");
}

/* With both ends in one process a fresh connection must not begin with a descriptor: sd-bus waits for the other end. */
static void reconnect(Setup *s) {
        char path[96];

        snprintf(path, sizeof path, "/sandbox/sandboxes/%s/metrics", s->sandbox);
        {
                REQUEST(&s->core, "GET", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
}

/* Done, but not answered: it counts as attached until somebody knows. */
TEST(nobody_knows) {
        _cleanup_(setup_stop) Setup s = {};
        FakeExecd *execd = &s.core.execd;

        setup_start(&s);
        execd->cut_after = "AttachVolume";
        ASSERT_EQ(attach(&s, "/data"), 503);
        reconnect(&s);
        expect_said(&s, "/data");
        ASSERT_EQ(attach(&s, "/data"), 200);
        ASSERT_EQ(detach(&s), 200);
        execd->fail_after = "AttachVolume";
        execd->fail_name = BUS_ERROR_UNAVAILABLE;
        ASSERT_EQ(attach(&s, "/data"), 503);
        expect_said(&s, "/data");
        ASSERT_EQ(ask(&s, "DELETE", "", NULL), 409);
        execd->n_volumes = 0; /* it was not done after all */
        restart(&s);
        ASSERT_EQ(execd->n_volumes, 1);
        execd->fail_method = "DetachVolume";
        execd->fail_name = BUS_ERROR_UNAVAILABLE;
        ASSERT_EQ(detach(&s), 503);
        expect_said(&s, "/data");
        ASSERT_EQ(detach(&s), 200);
        ASSERT_EQ(execd->n_volumes, 0);
}

TEST(deletions) {
        _cleanup_(setup_stop) Setup s = {};
        char path[80];

        setup_start(&s);
        ASSERT_EQ(attach(&s, "/data"), 200);
        snprintf(path, sizeof path, "/sandbox/sandboxes/%s", s.sandbox);
        {
                REQUEST(&s.core, "DELETE", path, NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        s.core.execd.n_volumes = 0; /* the mounts went with it */
        expect_said(&s, "");
        s.core.fsd.fail_method = "RemoveVolume";
        s.core.fsd.fail_name = BUS_ERROR_UNAVAILABLE;
        ASSERT_EQ(ask(&s, "DELETE", "", NULL), 503);
        restart(&s);
        ASSERT_EQ(s.core.fsd.n_volumes_removed, 1);
        ASSERT_EQ(detach(&s), 404);
}
