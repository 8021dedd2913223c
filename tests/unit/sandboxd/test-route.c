/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandboxd/http/dialect.h"
#include "sandboxd/route.h"
#include "tests/test.h"

static int handler(Request *r, sd_bus_error *error) {
        (void) r;
        (void) error;
        return 0;
}

static const Route sandbox_routes[] = {
        { "GET",    "/sandboxes",             handler, 0, "" },
        { "POST",   "/sandboxes",             handler, 0, "" },
        { "GET",    "/sandboxes/:id",         handler, 0, "" },
        { "DELETE", "/sandboxes/:id",         handler, 0, "" },
        { "GET",    "/sandboxes/:id/ports",   handler, 0, "" },
        { "GET",    "/sandboxes/special",     handler, 0, "" },
        { "PUT",    "/files/:id/*path",       handler, 0, "" },
        { "PUT",    "/files/:id/fixed",       handler, 0, "" },
};

static const Route root_routes[] = {
        { "GET", "/v1/info", handler, 0, "" },
};

static const RouteTable tables[] = {
        { &dialect_sandbox, "/sandbox", sandbox_routes, ELEMENTSOF(sandbox_routes) },
        { &dialect_none,    "v1x",      root_routes,    ELEMENTSOF(root_routes)    },
};

TEST(find) {
        static const struct {
                const char *method, *path;
                int expect;
                const char *route; /* its path */
                const char *name, *value;
        } cases[] = {
                { "GET",    "/sandbox/sandboxes",               0,           "/sandboxes",           NULL,   NULL       },
                { "POST",   "/sandbox/sandboxes",               0,           "/sandboxes",           NULL,   NULL       },
                { "PUT",    "/sandbox/sandboxes",               -EOPNOTSUPP, NULL,                   NULL,   NULL       },
                { "GET",    "/sandbox/sandboxes/",              -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/sandbox/sandboxes/a",             0,           "/sandboxes/:id",       "id",   "a"        },
                { "GET",    "/sandbox/sandboxes/a%20b",         0,           "/sandboxes/:id",       "id",   "a b"      },
                { "GET",    "/sandbox/sandboxes/special",       0,           "/sandboxes/special",   NULL,   NULL       },
                { "DELETE", "/sandbox/sandboxes/special",       0,           "/sandboxes/:id",       "id",   "special"  },
                { "GET",    "/sandbox/sandboxes/a/ports",       0,           "/sandboxes/:id/ports", "id",   "a"        },
                { "GET",    "/sandbox/sandboxes//ports",        -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/sandbox/sandboxes/a/ports/b",     -ENOENT,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a/b%20c",         0,           "/files/:id/*path",     "path", "a/b c"    },
                { "PUT",    "/sandbox/files/i/fixed",           0,           "/files/:id/fixed",     "id",   "i"        },
                { "PUT",    "/sandbox/files/i/",                0,           "/files/:id/*path",     "path", ""         },
                { "PUT",    "/sandbox/files/i",                 -ENOENT,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a/../b",          -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a/%2e%2e/b",      -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a%2fb",           -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a%5cb",           -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a%00b",           -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a%",              -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a%4",             -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/a%g0",            -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/%c0%af",          -EINVAL,     NULL,                   NULL,   NULL       },
                { "PUT",    "/sandbox/files/i/%c3%bc",          0,           "/files/:id/*path",     "path", "\xc3\xbc" },
                { "PUT",    "/sandbox/files/i/a+b",             0,           "/files/:id/*path",     "path", "a+b"      },
                { "GET",    "/sandbox/s%61ndboxes",             -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/sandbox",                         -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/sandboxes",                       -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/sandboxx/sandboxes",              -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/",                                -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/..",                              -EINVAL,     NULL,                   NULL,   NULL       },
                { "GET",    "",                                 -ENOENT,     NULL,                   NULL,   NULL       },
                { "GET",    "/v1x/v1/info",                     0,           "/v1/info",             NULL,   NULL       },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RouteMatch m = {};
                int r;

                r = route_find(tables, ELEMENTSOF(tables), cases[i].method, cases[i].path, &m);
                if (r != cases[i].expect)
                        print_error("%s %s\n", cases[i].method, cases[i].path);
                ASSERT_EQ(r, cases[i].expect);
                ASSERT_EQ(!!m.route, r == 0);
                if (m.route)
                        ASSERT_STREQ(m.route->path, cases[i].route);
                if (cases[i].name) {
                        size_t last = m.n_values - 1;

                        ASSERT_TRUE(m.n_values > 0);
                        ASSERT_STREQ(m.names[last], cases[i].name);
                        ASSERT_STREQ(m.values[last], cases[i].value);
                }
                route_match_done(&m);
        }
}

TEST(whose_path) {
        RouteMatch m;

        ASSERT_EQ(route_find(tables, ELEMENTSOF(tables), "GET", "/sandbox/x", &m), -ENOENT);
        ASSERT_TRUE(m.table == tables);
        ASSERT_EQ(route_find(tables, ELEMENTSOF(tables), "GET", "/x", &m), -ENOENT);
        ASSERT_NULL(m.table);
        ASSERT_TRUE(dialect_of_path(tables, ELEMENTSOF(tables), "/sandbox/x") == &dialect_sandbox);
        ASSERT_TRUE(dialect_of_path(tables, ELEMENTSOF(tables), "/x") == &dialect_none);
}

TEST(allowed_methods) {
        RouteMatch m;

        ASSERT_EQ(route_find(tables, ELEMENTSOF(tables), "PUT", "/sandbox/sandboxes", &m), -EOPNOTSUPP);
        ASSERT_STREQ(m.allow, "GET, POST");
        ASSERT_EQ(route_find(tables, ELEMENTSOF(tables), "PUT", "/sandbox/sandboxes/special", &m), -EOPNOTSUPP);
        ASSERT_STREQ(m.allow, "GET, DELETE");
}

TEST(many_segments) {
        char path[512] = "/sandbox/files/i";
        RouteMatch m = {};

        for (size_t i = 0; i < 100; i++)
                strcat(path, "/a");
        ASSERT_EQ(route_find(tables, ELEMENTSOF(tables), "PUT", path, &m), -EINVAL);
}

TEST(errors_have_statuses) {
        ASSERT_EQ(dialect_find_error(&dialect_sandbox, "io.sandboxd.Error.TooLarge")->status, 413);
        ASSERT_EQ(dialect_find_error(&dialect_sandbox, "org.freedesktop.DBus.Error.NoReply")->status, 503);
        ASSERT_NULL(dialect_find_error(&dialect_sandbox, "io.sandboxd.Error.Unheard"));
}
