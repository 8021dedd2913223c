/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/alert.h"
#include "tests/bus/sandboxd/core-fixture.h"
#include "tests/test.h"

/* Alerts against figures that the test sets. */

typedef struct Setup {
        Core core;
        char id[40], alert[40];
} Setup;

static void setup_start(Setup *s) {
        core_start(&s->core);
        core_create(&s->core, s->id);
        s->core.execd.stats.memory_current = 64 * MiB;
        s->core.execd.stats.memory_max = 512 * MiB;
}

static void setup_stop(Setup *s) {
        core_stop(&s->core);
}

static const char *path_of(const Setup *s, const char *rest) {
        static char text[2][128];
        static unsigned i;

        i = !i;
        snprintf(text[i], sizeof text[i], "/sandbox/sandboxes/%s%s", s->id, rest);
        return text[i];
}

static void set_alert(Setup *s, const char *body) {
        REQUEST(&s->core, "POST", path_of(s, "/alerts"), body, r);

        if (r.status != 200)
                print_error("%s\n", r.body);
        ASSERT_EQ(r.status, 200);
        ASSERT_STREQ(reply_string(&r, "sandboxId"), s->id);
        ASSERT_FALSE(json_is_true(json_object_get(r.json, "triggered")));
        snprintf(s->alert, sizeof s->alert, "%s", reply_string(&r, "id"));
}

static void set_memory(Setup *s, unsigned percent) {
        s->core.execd.stats.memory_current = 512 * MiB / 100 * percent;
}

static bool is_triggered(Core *c, void *userdata) {
        const Alert *a = alert_find(c->manager->alerts, ((Setup *) userdata)->alert);

        return a && a->triggered && !a->acting;
}

static bool is_armed(Core *c, void *userdata) {
        const Alert *a = alert_find(c->manager->alerts, ((Setup *) userdata)->alert);

        return a && !a->triggered;
}

static bool has_looked(Core *c, void *userdata) {
        return c->execd.n_stats > *(unsigned *) userdata;
}

static void wait_for_looks(Setup *s, unsigned n) {
        unsigned wanted = s->core.execd.n_stats + n;

        core_wait(&s->core, has_looked, &wanted);
}

static json_int_t history_total(Setup *s) {
        REQUEST(&s->core, "GET", path_of(s, "/alerts/history"), NULL, r);

        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(json_array_size(json_object_get(r.json, "events")), reply_integer(&r, "total"));
        return reply_integer(&r, "total");
}

TEST(fires_once_a_crossing) {
        _cleanup_(setup_stop) Setup s = {};

        setup_start(&s);
        set_memory(&s, 50);
        set_alert(&s, "{\"metric\":\"memory\",\"threshold\":80}");
        wait_for_looks(&s, 1);
        ASSERT_EQ(history_total(&s), 0);
        set_memory(&s, 90);
        core_wait(&s.core, is_triggered, &s);
        wait_for_looks(&s, 1);
        ASSERT_EQ(history_total(&s), 1);

        /* what it knows outlives us */
        core_stop_sandboxd(&s.core);
        core_start_sandboxd(&s.core);
        ASSERT_TRUE(is_triggered(&s.core, &s));
        wait_for_looks(&s, 1);
        ASSERT_EQ(history_total(&s), 1);
        set_memory(&s, 40);
        core_wait(&s.core, is_armed, &s);
        set_memory(&s, 95);
        core_wait(&s.core, is_triggered, &s);
        {
                REQUEST(&s.core, "GET", path_of(&s, "/alerts/history?limit=1"), NULL, r);
                const json_t *event = json_array_get(json_object_get(r.json, "events"), 0);

                ASSERT_EQ(reply_integer(&r, "total"), 2);
                ASSERT_EQ(json_array_size(json_object_get(r.json, "events")), 1);
                ASSERT_STREQ(json_string_value(json_object_get(event, "alertId")), s.alert);
                ASSERT_STREQ(json_string_value(json_object_get(event, "action")), "notify");
                ASSERT_TRUE(json_number_value(json_object_get(event, "value")) > 94);
        }
        REQUEST(&s.core, "GET", path_of(&s, "/alerts"), NULL, r);
        const json_t *alert = json_array_get(json_object_get(r.json, "alerts"), 0);
        ASSERT_TRUE(json_is_true(json_object_get(alert, "triggered")));
        ASSERT_TRUE(json_integer_value(json_object_get(alert, "lastTriggered")) > 0);
        ASSERT_TRUE(json_integer_value(json_object_get(alert, "lastChecked")) > 0);
}

static bool no_wake(Core *c, void *userdata) {
        (void) userdata;
        return c->execd.wake_usec == USEC_INFINITY;
}

static bool is_kept(Core *c, void *userdata) {
        (void) userdata;
        return c->execd.wake_usec > 0 && c->execd.wake_usec != USEC_INFINITY;
}

static bool is_paused(Core *c, void *userdata) {
        Sandbox *sandbox = manager_find_sandbox(c->manager, ((Setup *) userdata)->id);

        return sandbox && sandbox->state == SANDBOX_PAUSED && streq(c->execd.sandboxes[0].state, "paused");
}

/* A paused sandbox is not looked at, and nobody has to stay for it. */
TEST(pauses) {
        _cleanup_(setup_stop) Setup s = {};

        setup_start(&s);
        ASSERT_EQ(s.core.execd.wake_usec, 0U);
        set_alert(&s, "{\"metric\":\"memory\",\"threshold\":10,\"action\":\"pause\"}");
        core_wait(&s.core, is_paused, &s);
        core_wait(&s.core, is_triggered, &s);
        ASSERT_EQ(history_total(&s), 1);
        core_wait(&s.core, no_wake, NULL);
        {
                REQUEST(&s.core, "POST", path_of(&s, "/resume"), NULL, r);
                ASSERT_EQ(r.status, 200);
        }
        core_wait(&s.core, is_kept, NULL);
}

static bool is_gone(Core *c, void *userdata) {
        (void) userdata;
        return c->execd.n_sandboxes == 0 && hashmap_size(c->manager->sandboxes) == 0;
}

static uint64_t count(Setup *s, const char *kind) {
        uint64_t n;

        ASSERT_OK(store_count_objects(s->core.manager->store, kind, s->id, NULL, &n));
        return n;
}

TEST(kills) {
        _cleanup_(setup_stop) Setup s = {};

        setup_start(&s);
        set_alert(&s, "{\"metric\":\"pids\",\"threshold\":100}");
        set_alert(&s, "{\"metric\":\"memory\",\"threshold\":10.5,\"action\":\"kill\"}");
        ASSERT_EQ(count(&s, ALERT_KIND), 2);
        core_wait(&s.core, is_gone, &s);
        ASSERT_EQ(s.core.execd.n_kills, 1);
        /* they go with it */
        ASSERT_EQ(count(&s, ALERT_KIND), 0);
        ASSERT_EQ(count(&s, ALERT_EVENT_KIND), 0);
        ASSERT_NULL(alert_find(s.core.manager->alerts, s.alert));
        core_wait(&s.core, no_wake, NULL);
        REQUEST(&s.core, "GET", path_of(&s, "/alerts"), NULL, r);
        ASSERT_EQ(r.status, 200);
        ASSERT_EQ(json_array_size(json_object_get(r.json, "alerts")), 0);
}

/* What could not be done is tried again. */
TEST(action_fails) {
        _cleanup_(setup_stop) Setup s = {};

        setup_start(&s);
        s.core.execd.fail_method = "Pause";
        s.core.execd.fail_name = BUS_ERROR_NO_SPACE;
        set_alert(&s, "{\"metric\":\"memory\",\"threshold\":10,\"action\":\"pause\"}");
        core_wait(&s.core, is_paused, &s);
        ASSERT_EQ(history_total(&s), 2);
}

TEST(delete_and_refusals) {
        static const struct {
                const char *body, *text;
        } cases[] = {
                { "{}", "metric is required" },
                { "{\"metric\":\"cpu\"}", "threshold is required" },
                { "{\"metric\":\"disk\",\"threshold\":1}", "Invalid metric: disk" },
                { "{\"metric\":\"cpu\",\"threshold\":100.5}", "cpu threshold must be between 0 and 100" },
                { "{\"metric\":\"memory\",\"threshold\":-1}", "memory threshold must be between 0 and 100" },
                { "{\"metric\":\"pids\",\"threshold\":0}", "pids threshold must be between 1 and 256" },
                { "{\"metric\":\"pids\",\"threshold\":\"many\"}", "threshold must be a number" },
                { "{\"metric\":\"cpu\",\"threshold\":1,\"action\":\"shout\"}", "Invalid action: shout" },
        };
        _cleanup_(setup_stop) Setup s = {};
        char path[80];

        setup_start(&s);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                REQUEST(&s.core, "POST", path_of(&s, "/alerts"), cases[i].body, r);
                ASSERT_EQ(r.status, 400);
                ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), cases[i].text));
        }
        {
                REQUEST(&s.core, "POST", "/sandbox/sandboxes/sbx_x/alerts", "{\"metric\":\"cpu\",\"threshold\":1}", r);
                ASSERT_EQ(r.status, 404);
        }
        for (unsigned i = 0; i < ALERTS_MAX; i++)
                set_alert(&s, "{\"metric\":\"pids\",\"threshold\":200,\"action\":null}");
        {
                REQUEST(&s.core, "POST", path_of(&s, "/alerts"), "{\"metric\":\"pids\",\"threshold\":200}", r);
                ASSERT_EQ(r.status, 429);
        }
        snprintf(path, sizeof path, "/sandbox/alerts/%s", s.alert);
        {
                REQUEST(&s.core, "DELETE", path, NULL, r);
                ASSERT_STREQ(reply_string(&r, "deleted"), s.alert);
        }
        REQUEST(&s.core, "DELETE", path, NULL, r);
        ASSERT_EQ(r.status, 404);
        ASSERT_NOT_NULL(strstr(reply_string(&r, "error"), "Alert not found: "));
}
