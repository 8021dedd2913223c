/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/api-tool.h"

#include <errno.h>

#include "libsandbox/string-util.h"

/* A request whose answer is what a program in the sandbox says. It lives as long as both the client and the program do:
 * a client that goes away ends the program, since nobody would hear its answer, and an answer function may start the
 * next program in the place of the first (it returns 1 then). */

static void on_gone(Request *request, void *userdata) {
        ApiTool *t = userdata;

        (void) request;
        t->request = NULL;
        tool_cancel(TAKE_PTR(t->tool));
        api_tool_free(t);
}

ApiTool *api_tool_new(Request *request, Sandbox *s) {
        ApiTool *t = new0(ApiTool, 1);

        if (t)
                *t = (ApiTool) { .request = request, .manager = request_userdata(request), .sandbox = sandbox_ref(s) };
        return t;
}

ApiTool *api_tool_free(ApiTool *t) {
        if (t) {
                assert(!t->tool);
                if (t->free_data)
                        t->free_data(t->data);
                strv_free((char **) t->spec.env);
                free((char *) t->spec.cwd);
                sandbox_unref(t->sandbox);
                free(t);
        }
        return NULL;
}

/* The client is unhooked before the answer is made: whatever that does with the request, it must not be told that it is
 * gone. */
static void on_tool(const Command *c, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        ApiTool *t = userdata;
        Request *request = t->request;
        int r;

        t->tool = NULL;
        request_on_gone(request, NULL, NULL);
        r = error ? sd_bus_error_copy(&own, error) : t->answer(t, c, &own);
        if (r > 0)
                return;
        if (r < 0)
                api_reply_failure(request, &own, r);
        api_tool_free(t);
}

int api_tool_start(ApiTool *t, char **argv, ApiToolAnswer answer, sd_bus_error *error) {
        _cleanup_strv_free_ char **owned = argv;
        int r;

        if (!argv)
                return -ENOMEM;
        t->answer = answer;
        t->spec.argv = argv;
        r = tool_run(t->manager, t->sandbox, &t->spec, on_tool, t, &t->tool, error);
        t->spec.argv = NULL;
        if (r < 0)
                return r;
        request_on_gone(t->request, on_gone, t);
        return 1;
}

int api_tool_sent(ApiTool **t, int r) {
        if (r > 0)
                *t = NULL;
        return r;
}

uint64_t api_tool_timeout(const Manager *m, int64_t seconds) {
        uint64_t longest = m->settings.max_command_timeout_sec;

        return (seconds > 0 ? MIN((uint64_t) seconds, longest) : longest) * USEC_PER_SEC;
}
