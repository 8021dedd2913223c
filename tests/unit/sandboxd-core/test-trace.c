/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/output-times.h"
#include "sandboxd/route-function.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[32];
        sd_event *loop;
        Store *store;
        TraceLog *log;
        uint32_t max;
} Fixture;

static void fixture_start(Fixture *f, uint32_t max) {
        bool fresh;

        f->max = max;
        strcpy(f->directory, "/tmp/traces-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        ASSERT_OK(sd_event_new(&f->loop));
        ASSERT_OK(store_open(f->directory, &fresh, &f->store));
        ASSERT_OK(trace_log_new(f->loop, f->store, max, &f->log));
}

static void fixture_restart(Fixture *f) {
        f->log = trace_log_free(f->log);
        ASSERT_OK(trace_log_new(f->loop, f->store, f->max, &f->log));
}

static void fixture_done(Fixture *f) {
        static const char *const names[] = { "sandboxd.db", "reserve" };
        char path[64];

        f->log = trace_log_free(f->log);
        f->store = store_close(f->store);
        sd_event_unref(f->loop);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                snprintf(path, sizeof path, "%s/%s", f->directory, names[i]);
                (void) unlink(path);
        }
        ASSERT_EQ(rmdir(f->directory), 0);
}

static void add(Fixture *f, const char *function, uint64_t duration_usec) {
        trace_log_add(f->log, &(Trace) { .function = function, .sandbox = "sbx_1", .status = 200,
                                         .duration_usec = duration_usec });
}

static uint64_t total(Fixture *f, const char *function) {
        TraceQuery query = { .function = function, .limit = 3 };
        json_t *list;
        uint64_t n;

        ASSERT_OK(trace_log_list(f->log, &query, &list, &n));
        ASSERT_EQ(json_array_size(list), MIN(n, UINT64_C(3)));
        json_decref(list);
        return n;
}

/* The newest stay; daemons that come and go fill up one row. */
TEST(bounded_and_found_again) {
        uint64_t rows;
        Fixture f = {};

        fixture_start(&f, 1000);
        for (unsigned i = 0; i < 100; i++) {
                add(&f, i % 2 ? "odd" : "even", i);
                fixture_restart(&f);
        }
        ASSERT_OK(store_count_objects(f.store, TRACE_KIND, NULL, NULL, &rows));
        ASSERT_EQ(rows, 1U);
        ASSERT_EQ(total(&f, NULL), 100U);
        ASSERT_EQ(total(&f, "odd"), 50U);
        ASSERT_EQ(total(&f, "none"), 0U);
        for (unsigned i = 0; i < 5000; i++)
                add(&f, "many", i);
        ASSERT_EQ(total(&f, NULL), 1000U);
        fixture_restart(&f);
        ASSERT_EQ(total(&f, "many"), 1000U);
        ASSERT_OK(store_count_objects(f.store, TRACE_KIND, NULL, NULL, &rows));
        ASSERT_TRUE(rows <= 1000 / 256 + 2);
        fixture_done(&f);
}

TEST(percentile_and_clear) {
        Fixture f = {};
        json_t *figures;

        fixture_start(&f, 1000);
        for (unsigned i = 1; i <= 100; i++)
                add(&f, "f", (uint64_t) i * 1000);
        ASSERT_OK(trace_log_figures(f.log, &figures));
        assert_float_equal(json_number_value(json_object_get(figures, "p95Duration")), 96.0, 0.001);
        assert_float_equal(json_number_value(json_object_get(figures, "avgDuration")), 50.5, 0.001);
        json_decref(figures);
        ASSERT_EQ(trace_log_clear(f.log, UINT64_MAX), 100U);
        fixture_restart(&f);
        ASSERT_EQ(total(&f, NULL), 0U);
        fixture_done(&f);
}

TEST(none_are_kept) {
        Fixture f = {};

        fixture_start(&f, 0);
        add(&f, "f", 1);
        ASSERT_EQ(total(&f, NULL), 0U);
        fixture_done(&f);
}

/* Each route has a name of its own. */
TEST(functions_of_routes) {
        static const struct {
                const char *method, *path, *function;
        } cases[] = {
                { "POST",   "/sandboxes",                  "sandbox::create"        },
                { "GET",    "/sandboxes",                  "sandbox::list"          },
                { "GET",    "/sandboxes/:id",              "sandbox::get"           },
                { "POST",   "/sandboxes/:id/exec",         "sandbox::exec"          },
                { "POST",   "/sandboxes/:id/exec/stream",  "sandbox::exec::stream"  },
                { "POST",   "/sandboxes/:id/files/read",   "fs::read"               },
                { "POST",   "/sandboxes/:id/pause",        "sandbox::pause"         },
                { "GET",    "/events/history",             "event::history"         },
        };
        size_t found = 0;

        for (size_t i = 0; i < route_tables[0].n_routes; i++) {
                const Route *r = route_tables[0].routes + i;
                char name[64], other[64];

                route_function(route_tables, r, name);
                for (size_t k = 0; k < ELEMENTSOF(cases); k++)
                        if (streq(r->method, cases[k].method) && streq(r->path, cases[k].path)) {
                                ASSERT_STREQ(name, cases[k].function);
                                found++;
                        }
                for (size_t k = 0; k < i; k++) {
                        route_function(route_tables, route_tables[0].routes + k, other);
                        if (streq(name, other))
                                print_error("%s %s and %s are both %s\n", r->method, r->path,
                                            route_tables[0].routes[k].path, name);
                        ASSERT_TRUE(!streq(name, other));
                }
        }
        ASSERT_EQ(found, ELEMENTSOF(cases));
}

TEST(times_of_output) {
        OutputTimes t = {};

        ASSERT_EQ(output_times_at(&t, 5, 77), 77U);
        for (uint64_t i = 0; i < 10000; i++)
                output_times_note(&t, i * 10, 1000 + i / 2);
        ASSERT_TRUE(t.n <= OUTPUT_MARKS_MAX);
        for (uint64_t i = 1; i < 10000; i++) {
                uint64_t then = output_times_at(&t, i * 10 - 1, 0), now = output_times_at(&t, i * 10, 0);

                ASSERT_TRUE(then <= now && now <= 1000 + i / 2);
        }
        output_times_done(&t);
}
