/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-names.h"
#include "sandboxd/api.h"
#include "sandboxd/http/dialect.h"

#define SANDBOX "/sandboxes/:id"
#define CONTEXTS SANDBOX "/interpret/contexts"
#define CONTEXT CONTEXTS "/:context"
#define TERMINAL SANDBOX "/terminals/:terminal"
#define INPUT (ROUTE_BODY_STREAM | ROUTE_QUIET)

/* THE table of /sandbox. Sorted by path; what dispatches, prints and is tested is this. */
static const Route sandbox_routes[] = {
        /* method path                             handler                flags              help */
        { "POST",   "/admin/sweep",                  api_sweep,             0,                 "End what is expired" },
        { "GET",    "/exec/background/:id/logs",     api_background_logs,   0,                 "Its output" },
        { "GET",    "/exec/background/:id/status",   api_background_status, 0,                 "Its state" },
        { "GET",    "/health",                       api_health,            ROUTE_NO_AUTH,     "Whether we serve" },
        { "GET",    "/health/:service",              api_health_service,    0,                 "Whether it answers" },
        { "GET",    "/images",                       api_images,            0,                 "Catalog of images" },
        { "GET",    "/metrics",                      api_global_metrics,    0,                 "Counters" },
        { "GET",    "/pool/status",                  api_pool_status,       0,                 "Spare sandboxes" },
        { "GET",    "/sandboxes",                    api_sandbox_list,      0,                 "List sandboxes" },
        { "POST",   "/sandboxes",                    api_sandbox_create,    0,                 "Create a sandbox" },
        { "DELETE", SANDBOX,                         api_sandbox_delete,    0,                 "End a sandbox" },
        { "GET",    SANDBOX,                         api_sandbox_get,       0,                 "Show a sandbox" },
        { "GET",    SANDBOX "/env",                  api_env_list,          0,                 "Show variables" },
        { "POST",   SANDBOX "/env",                  api_env_set,           0,                 "Set variables" },
        { "POST",   SANDBOX "/env/delete",           api_env_delete,        0,                 "Take one away" },
        { "POST",   SANDBOX "/env/get",              api_env_get,           ROUTE_READS,       "Show one" },
        { "GET",    SANDBOX "/exec",                 api_exec_list,         0,                 "List commands" },
        { "POST",   SANDBOX "/exec",                 api_exec,              0,                 "Run a command" },
        { "POST",   SANDBOX "/exec/:command/signal", api_exec_signal,       0,                 "Signal a command" },
        { "POST",   SANDBOX "/exec/:command/stdin",  api_exec_stdin,        ROUTE_BODY_STREAM, "Feed a command" },
        { "POST",   SANDBOX "/exec/background",      api_exec_background,   0,                 "Start a command" },
        { "POST",   SANDBOX "/exec/interrupt",       api_exec_interrupt,    0,                 "Send SIGINT" },
        { "POST",   SANDBOX "/exec/stream",          api_exec_stream,       0,                 "Output as events" },
        { "POST",   SANDBOX "/files/chmod",          api_file_chmod,        0,                 "Change a mode" },
        { "POST",   SANDBOX "/files/delete",         api_file_delete,       0,                 "Delete a file" },
        { "POST",   SANDBOX "/files/download",       api_file_download,     ROUTE_READS,       "Read as base64" },
        { "POST",   SANDBOX "/files/info",           api_file_info,         ROUTE_READS,       "Describe files" },
        { "POST",   SANDBOX "/files/list",           api_file_list,         ROUTE_READS,       "List a directory" },
        { "POST",   SANDBOX "/files/mkdir",          api_file_mkdir,        0,                 "Make directories" },
        { "POST",   SANDBOX "/files/move",           api_file_move,         0,                 "Move files" },
        { "GET",    SANDBOX "/files/raw",            api_file_get_raw,      0,                 "Read a file as it is" },
        { "PUT",    SANDBOX "/files/raw",            api_file_put_raw,      ROUTE_BODY_STREAM, "Write as it is" },
        { "POST",   SANDBOX "/files/read",           api_file_read,         ROUTE_READS,       "Read a file as text" },
        { "POST",   SANDBOX "/files/rmdir",          api_file_rmdir,        0,                 "Remove trees" },
        { "POST",   SANDBOX "/files/search",         api_file_search,       ROUTE_READS,       "Find files by name" },
        { "POST",   SANDBOX "/files/upload",         api_file_upload,       ROUTE_LARGE_BODY,  "Write base64" },
        { "POST",   SANDBOX "/files/write",          api_file_write,        ROUTE_LARGE_BODY,  "Write from text" },
        { "POST",   SANDBOX "/git/branch",           api_git_branch,        0,                 "List, make, delete" },
        { "POST",   SANDBOX "/git/checkout",         api_git_checkout,      0,                 "Go to a revision" },
        { "POST",   SANDBOX "/git/clone",            api_git_clone,         0,                 "Clone a repository" },
        { "POST",   SANDBOX "/git/commit",           api_git_commit,        0,                 "Commit" },
        { "GET",    SANDBOX "/git/diff",             api_git_diff,          0,                 "Changes" },
        { "GET",    SANDBOX "/git/log",              api_git_log,           0,                 "Commits" },
        { "POST",   SANDBOX "/git/pull",             api_git_pull,          0,                 "Fetch and merge" },
        { "POST",   SANDBOX "/git/push",             api_git_push,          0,                 "Send commits" },
        { "GET",    SANDBOX "/git/status",           api_git_status,        0,                 "Changed files" },
        { "GET",    CONTEXTS,                        api_context_list,      0,                 "List contexts" },
        { "POST",   CONTEXTS,                        api_context_new,       0,                 "Make a context" },
        { "DELETE", CONTEXT,                         api_context_delete,    0,                 "End a context" },
        { "GET",    CONTEXT,                         api_context_get,       0,                 "Show a context" },
        { "POST",   CONTEXT "/execute",              api_context_execute,   0,                 "Run code in it" },
        { "POST",   CONTEXT "/interrupt",            api_context_interrupt, 0,                 "Stop what it runs" },
        { "POST",   CONTEXT "/restart",              api_context_restart,   0,                 "Forget its state" },
        { "POST",   SANDBOX "/interpret/execute",    api_interpret_execute, 0,                 "Run code" },
        { "POST",   SANDBOX "/interpret/install",    api_interpret_install, 0,                 "Install packages" },
        { "GET",    SANDBOX "/interpret/kernels",    api_interpret_kernels, 0,                 "Known languages" },
        { "POST",   SANDBOX "/limits",               api_sandbox_limits,    0,                 "Change limits" },
        { "GET",    SANDBOX "/metrics",              api_sandbox_metrics,   0,                 "Use of resources" },
        { "POST",   SANDBOX "/pause",                api_sandbox_pause,     0,                 "Freeze all processes" },
        { "GET",    SANDBOX "/processes",            api_process_list,      0,                 "List processes" },
        { "POST",   SANDBOX "/processes/kill",       api_process_kill,      0,                 "Signal one" },
        { "GET",    SANDBOX "/processes/top",        api_process_top,       0,                 "List by use" },
        { "POST",   SANDBOX "/renew",                api_sandbox_renew,     0,                 "Set the end" },
        { "POST",   SANDBOX "/resume",               api_sandbox_resume,    0,                 "Go on" },
        { "GET",    SANDBOX "/terminals",            api_terminal_list,     0,                 "List terminals" },
        { "POST",   SANDBOX "/terminals",            api_terminal_open,     0,                 "Open a terminal" },
        { "DELETE", TERMINAL,                        api_terminal_close,    0,                 "Hang up and forget" },
        { "GET",    TERMINAL,                        api_terminal_get,      0,                 "Show a terminal" },
        { "POST",   TERMINAL "/input",               api_terminal_input,    INPUT,             "Type" },
        { "POST",   TERMINAL "/resize",              api_terminal_resize,   ROUTE_QUIET,       "Set its size" },
        { "GET",    TERMINAL "/stream",              api_terminal_stream,   0,                 "What it shows" },
};

const RouteTable route_tables[] = {
        { .dialect = &dialect_sandbox, .prefix = "/sandbox", .routes = sandbox_routes,
          .n_routes = ELEMENTSOF(sandbox_routes) },
};
const size_t n_route_tables = ELEMENTSOF(route_tables);

int routes_print(void) {
        for (size_t t = 0; t < n_route_tables; t++)
                for (size_t i = 0; i < route_tables[t].n_routes; i++) {
                        const Route *r = route_tables[t].routes + i;

                        printf("%-6s %s%s\n", r->method, route_tables[t].prefix, r->path);
                }
        return fflush(stdout) == 0 ? 0 : 1;
}
