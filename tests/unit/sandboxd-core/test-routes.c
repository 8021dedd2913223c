/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "tests/test.h"

/* The table is sorted by path, then method, and says each thing once. */
TEST(sorted_and_whole) {
        for (size_t t = 0; t < n_route_tables; t++)
                for (size_t i = 0; i < route_tables[t].n_routes; i++) {
                        const Route *r = route_tables[t].routes + i;
                        int order = i > 0 ? strcmp(r[-1].path, r->path) : -1;

                        ASSERT_NOT_NULL(r->handler);
                        ASSERT_FALSE(isempty(r->help));
                        if (order > 0 || (order == 0 && strcmp(r[-1].method, r->method) >= 0))
                                print_error("%s %s stands in the wrong place\n", r->method, r->path);
                        ASSERT_TRUE(order < 0 || (order == 0 && strcmp(r[-1].method, r->method) < 0));
                }
}

/* Whether we serve is nobody's secret, and a channel has a key of its own. */
TEST(only_health_and_channels_are_open) {
        for (size_t t = 0; t < n_route_tables; t++)
                for (size_t i = 0; i < route_tables[t].n_routes; i++) {
                        const Route *r = route_tables[t].routes + i;

                        ASSERT_EQ(!!(r->flags & ROUTE_NO_AUTH),
                                  streq(r->path, "/health") || streq(r->path, "/ws/channels/:channel"));
                }
}

TEST(find) {
        static const struct {
                const char *method, *path;
                RequestHandler handler;
                int expect;
        } cases[] = {
                { "GET",    "/sandbox/health",                                api_health,            0           },
                { "GET",    "/sandbox/health/files",                          api_health_service,    0           },
                { "POST",   "/sandbox/sandboxes/x/exec/stream",               api_exec_stream,       0           },
                { "POST",   "/sandbox/sandboxes/x/exec/bg_1/stdin",           api_exec_stdin,        0           },
                { "GET",    "/sandbox/exec/background/bg_1/logs",             api_background_logs,   0           },
                { "PUT",    "/sandbox/sandboxes/x/files/raw",                 api_file_put_raw,      0           },
                { "GET",    "/openapi.json",                                  api_openapi,           0           },
                { "GET",    "/sandbox/openapi.json",                          api_openapi,           0           },
                { "PUT",    "/openapi.json",                                  NULL,                  -EOPNOTSUPP },
                { "PUT",    "/sandbox/sandboxes",                             NULL,                  -EOPNOTSUPP },
                { "GET",    "/sandbox/nothing",                               NULL,                  -ENOENT     },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RouteMatch m = {};

                ASSERT_EQ(route_find(route_tables, n_route_tables, cases[i].method, cases[i].path, &m), cases[i].expect);
                if (cases[i].handler)
                        assert_ptr_equal(m.route->handler, cases[i].handler);
                route_match_done(&m);
        }
}

/* The table of the root has everything below it, but an unknown path below a prefix is of that prefix's dialect. */
TEST(dialect_of_unknown) {
        static const struct {
                const char *path;
                size_t table;
        } cases[] = {
                { "/sandbox/nothing", 0 },
                { "/nothing",         1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RouteMatch m = {};

                ASSERT_EQ(route_find(route_tables, n_route_tables, "GET", cases[i].path, &m), -ENOENT);
                assert_ptr_equal(m.table, route_tables + cases[i].table);
                route_match_done(&m);
        }
}
