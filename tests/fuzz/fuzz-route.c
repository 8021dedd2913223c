/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/http/dialect.h"
#include "sandboxd/route.h"
#include "tests/fuzz/fuzz.h"

static const Route routes[] = {
        { "GET",    "/sandboxes",           NULL, 0, "" },
        { "POST",   "/sandboxes",           NULL, 0, "" },
        { "GET",    "/sandboxes/:id",       NULL, 0, "" },
        { "GET",    "/sandboxes/fixed",     NULL, 0, "" },
        { "POST",   "/sandboxes/:id/:verb", NULL, 0, "" },
        { "PUT",    "/files/:id/*path",     NULL, 0, "" },
};

static const RouteTable tables[] = {
        { &dialect_sandbox, "/sandbox", routes, ELEMENTSOF(routes) },
        { &dialect_none,    "/v1",      routes, ELEMENTSOF(routes) },
};

/* What a handler relies on. */
static void check_values(const RouteMatch *m) {
        for (size_t i = 0; i < m->n_values; i++) {
                const char *value = m->values[i];
                bool rest = strchr(m->route->path, '*') && i == m->n_values - 1;

                assert(utf8_is_valid(value, strlen(value)));
                assert(!strchr(value, '\\'));
                assert(!streq(value, "..") && !strstr(value, "/../") && !startswith(value, "../"));
                assert(rest || (*value && !strchr(value, '/')));
        }
}

/* "METHOD path" */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_free_ char *text = new0(char, n + 1);
        RouteMatch m;
        char *path;
        int r;

        assert(text);
        if (n > 0)
                memcpy(text, data, n);
        path = text + strcspn(text, " ");
        if (*path)
                *path++ = 0;
        r = route_find(tables, ELEMENTSOF(tables), text, path, &m);
        assert(r == 0 || r == -ENOENT || r == -EINVAL || r == -EOPNOTSUPP);
        assert((r == 0) == !!m.route);
        assert(r != -EOPNOTSUPP || m.allow[0]);
        if (r == 0)
                check_values(&m);
        route_match_done(&m);
        return 0;
}
