/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-names.h"
#include "sandboxd/api.h"
#include "sandboxd/create-input.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/file-input.h"
#include "sandboxd/http/dialect.h"

#define SANDBOX "/sandboxes/:id"
#define CONTEXTS SANDBOX "/interpret/contexts"
#define CONTEXT CONTEXTS "/:context"
#define TERMINAL SANDBOX "/terminals/:terminal"
#define INPUT (ROUTE_BODY_STREAM | ROUTE_QUIET)

/* THE table of /sandbox. Sorted by path; what dispatches, prints and is tested is this. */
static const Route sandbox_routes[] = {
        /* method path                             handler                flags              help */
        { "POST",   "/admin/sweep",                  api_sweep,             0,                 "End what is expired",
          .reply = "Swept" },
        { "GET",    "/exec/background/:id/logs",     api_background_logs,   0,                 "Its output",
          .input = &background_logs_table, .reply = "Output" },
        { "GET",    "/exec/background/:id/status",   api_background_status, 0,                 "Its state",
          .reply = "BackgroundExec" },
        { "GET",    "/health",                       api_health,            ROUTE_NO_AUTH,     "Whether we serve",
          .reply = "Health" },
        { "GET",    "/health/:service",              api_health_service,    0,                 "Whether it answers",
          .reply = "Health" },
        { "GET",    "/images",                       api_images,            0,                 "Catalog of images",
          .reply = "Images" },
        { "GET",    "/metrics",                      api_global_metrics,    0,                 "Counters",
          .reply = "GlobalMetrics" },
        { "GET",    "/openapi.json",                 api_openapi,           0,                 "This document",
          .reply = "object" },
        { "GET",    "/pool/status",                  api_pool_status,       0,                 "Spare sandboxes",
          .reply = "Pool" },
        { "GET",    "/sandboxes",                    api_sandbox_list,      0,                 "List sandboxes",
          .input = &sandbox_list_table, .reply = "SandboxList" },
        { "POST",   "/sandboxes",                    api_sandbox_create,    0,                 "Create a sandbox",
          .input = &create_table, .reply = "Sandbox" },
        { "DELETE", SANDBOX,                         api_sandbox_delete,    0,                 "End a sandbox",
          .reply = "Success" },
        { "GET",    SANDBOX,                         api_sandbox_get,       0,                 "Show a sandbox",
          .reply = "Sandbox" },
        { "GET",    SANDBOX "/env",                  api_env_list,          0,                 "Show variables",
          .reply = "Env" },
        { "POST",   SANDBOX "/env",                  api_env_set,           0,                 "Set variables",
          .input = &env_set_table, .reply = "EnvSet" },
        { "POST",   SANDBOX "/env/delete",           api_env_delete,        0,                 "Take one away",
          .input = &env_key_table, .reply = "Deleted" },
        { "POST",   SANDBOX "/env/get",              api_env_get,           ROUTE_READS,       "Show one",
          .input = &env_key_table, .reply = "EnvValue" },
        { "GET",    SANDBOX "/exec",                 api_exec_list,         0,                 "List commands",
          .reply = "Commands" },
        { "POST",   SANDBOX "/exec",                 api_exec,              0,                 "Run a command",
          .input = &exec_table, .reply = "ExecResult" },
        { "POST",   SANDBOX "/exec/:command/signal", api_exec_signal,       0,                 "Signal a command",
          .input = &exec_signal_table, .reply = "Success" },
        { "POST",   SANDBOX "/exec/:command/stdin",  api_exec_stdin,        ROUTE_BODY_STREAM, "Feed a command",
          .reply = "Written" },
        { "POST",   SANDBOX "/exec/background",      api_exec_background,   0,                 "Start a command",
          .input = &exec_table, .reply = "BackgroundExec" },
        { "POST",   SANDBOX "/exec/interrupt",       api_exec_interrupt,    0,                 "Send SIGINT",
          .input = &exec_interrupt_table, .reply = "Success" },
        { "POST",   SANDBOX "/exec/stream",          api_exec_stream,       0,                 "Output as events",
          .input = &exec_stream_table, .reply = "events:ExecStreamChunk" },
        { "POST",   SANDBOX "/files/chmod",          api_file_chmod,        0,                 "Change a mode",
          .input = &file_chmod_table, .reply = "Success" },
        { "POST",   SANDBOX "/files/delete",         api_file_delete,       0,                 "Delete a file",
          .input = &file_path_table, .reply = "Success" },
        { "POST",   SANDBOX "/files/download",       api_file_download,     ROUTE_READS,       "Read as base64",
          .input = &file_path_table, .reply = "string" },
        { "POST",   SANDBOX "/files/info",           api_file_info,         ROUTE_READS,       "Describe files",
          .input = &file_paths_table, .reply = "FileMetadata|FileMetadata[]" },
        { "POST",   SANDBOX "/files/list",           api_file_list,         ROUTE_READS,       "List a directory",
          .input = &file_list_table, .reply = "FileInfo[]" },
        { "POST",   SANDBOX "/files/mkdir",          api_file_mkdir,        0,                 "Make directories",
          .input = &file_paths_table, .reply = "Success" },
        { "POST",   SANDBOX "/files/move",           api_file_move,         0,                 "Move files",
          .input = &file_move_table, .reply = "Success" },
        { "GET",    SANDBOX "/files/raw",            api_file_get_raw,      0,                 "Read a file as it is",
          .input = &file_raw_get_table, .reply = "bytes" },
        { "PUT",    SANDBOX "/files/raw",            api_file_put_raw,      ROUTE_BODY_STREAM, "Write as it is",
          .input = &file_raw_put_table, .reply = "FileWritten" },
        { "POST",   SANDBOX "/files/read",           api_file_read,         ROUTE_READS,       "Read a file as text",
          .input = &file_path_table, .reply = "string" },
        { "POST",   SANDBOX "/files/rmdir",          api_file_rmdir,        0,                 "Remove trees",
          .input = &file_paths_table, .reply = "Success" },
        { "POST",   SANDBOX "/files/search",         api_file_search,       ROUTE_READS,       "Find files by name",
          .input = &file_search_table, .reply = "string[]" },
        { "POST",   SANDBOX "/files/upload",         api_file_upload,       ROUTE_LARGE_BODY,  "Write base64",
          .input = &file_upload_table, .reply = "Success" },
        { "POST",   SANDBOX "/files/write",          api_file_write,        ROUTE_LARGE_BODY,  "Write from text",
          .input = &file_write_table, .reply = "Success" },
        { "POST",   SANDBOX "/git/branch",           api_git_branch,        0,                 "List, make, delete",
          .input = &git_branch_table, .reply = "GitBranches" },
        { "POST",   SANDBOX "/git/checkout",         api_git_checkout,      0,                 "Go to a revision",
          .input = &git_checkout_table, .reply = "ExecResult" },
        { "POST",   SANDBOX "/git/clone",            api_git_clone,         0,                 "Clone a repository",
          .input = &git_clone_table, .reply = "ExecResult" },
        { "POST",   SANDBOX "/git/commit",           api_git_commit,        0,                 "Commit",
          .input = &git_commit_table, .reply = "ExecResult" },
        { "GET",    SANDBOX "/git/diff",             api_git_diff,          0,                 "Changes",
          .input = &git_diff_table, .reply = "GitDiff" },
        { "GET",    SANDBOX "/git/log",              api_git_log,           0,                 "Commits",
          .input = &git_log_table, .reply = "GitLog" },
        { "POST",   SANDBOX "/git/pull",             api_git_pull,          0,                 "Fetch and merge",
          .input = &git_pull_table, .reply = "ExecResult" },
        { "POST",   SANDBOX "/git/push",             api_git_push,          0,                 "Send commits",
          .input = &git_push_table, .reply = "ExecResult" },
        { "GET",    SANDBOX "/git/status",           api_git_status,        0,                 "Changed files",
          .input = &git_status_table, .reply = "GitStatus" },
        { "GET",    CONTEXTS,                        api_context_list,      0,                 "List contexts",
          .reply = "Contexts" },
        { "POST",   CONTEXTS,                        api_context_new,       0,                 "Make a context",
          .input = &context_new_table, .reply = "Context" },
        { "DELETE", CONTEXT,                         api_context_delete,    0,                 "End a context",
          .reply = "Deleted" },
        { "GET",    CONTEXT,                         api_context_get,       0,                 "Show a context",
          .reply = "Context" },
        { "POST",   CONTEXT "/execute",              api_context_execute,   0,                 "Run code in it",
          .input = &context_execute_table, .reply = "CellResult" },
        { "POST",   CONTEXT "/interrupt",            api_context_interrupt, 0,                 "Stop what it runs",
          .reply = "Success" },
        { "POST",   CONTEXT "/restart",              api_context_restart,   0,                 "Forget its state",
          .reply = "Context" },
        { "POST",   SANDBOX "/interpret/execute",    api_interpret_execute, 0,                 "Run code",
          .input = &interpret_execute_table, .reply = "CodeResult" },
        { "POST",   SANDBOX "/interpret/install",    api_interpret_install, 0,                 "Install packages",
          .input = &interpret_install_table, .reply = "Installed" },
        { "GET",    SANDBOX "/interpret/kernels",    api_interpret_kernels, 0,                 "Known languages",
          .reply = "KernelSpec[]" },
        { "POST",   SANDBOX "/limits",               api_sandbox_limits,    0,                 "Change limits",
          .input = &sandbox_limits_table, .reply = "Sandbox" },
        { "GET",    SANDBOX "/metrics",              api_sandbox_metrics,   0,                 "Use of resources",
          .reply = "SandboxMetrics" },
        { "POST",   SANDBOX "/pause",                api_sandbox_pause,     0,                 "Freeze all processes",
          .reply = "Sandbox" },
        { "GET",    SANDBOX "/processes",            api_process_list,      0,                 "List processes",
          .reply = "Processes" },
        { "POST",   SANDBOX "/processes/kill",       api_process_kill,      0,                 "Signal one",
          .input = &process_kill_table, .reply = "Killed" },
        { "GET",    SANDBOX "/processes/top",        api_process_top,       0,                 "List by use",
          .reply = "ProcessesTop" },
        { "POST",   SANDBOX "/renew",                api_sandbox_renew,     0,                 "Set the end",
          .input = &sandbox_renew_table, .reply = "Sandbox" },
        { "POST",   SANDBOX "/resume",               api_sandbox_resume,    0,                 "Go on",
          .reply = "Sandbox" },
        { "GET",    SANDBOX "/terminals",            api_terminal_list,     0,                 "List terminals",
          .reply = "Terminals" },
        { "POST",   SANDBOX "/terminals",            api_terminal_open,     0,                 "Open a terminal",
          .input = &terminal_open_table, .reply = "Terminal" },
        { "DELETE", TERMINAL,                        api_terminal_close,    0,                 "Hang up and forget",
          .reply = "Closed" },
        { "GET",    TERMINAL,                        api_terminal_get,      0,                 "Show a terminal",
          .reply = "Terminal" },
        { "POST",   TERMINAL "/input",               api_terminal_input,    INPUT,             "Type",
          .reply = "Written" },
        { "POST",   TERMINAL "/resize",              api_terminal_resize,   ROUTE_QUIET,       "Set its size",
          .input = &terminal_resize_table, .reply = "TerminalSize" },
        { "GET",    TERMINAL "/stream",              api_terminal_stream,   0,                 "What it shows",
          .input = &terminal_stream_table, .reply = "bytes" },
};

/* Of no dialect. */
static const Route root_routes[] = {
        { "GET",    "/openapi.json",                 api_openapi,           0,                 "This document",
          .reply = "object" },
};

const RouteTable route_tables[] = {
        { .dialect = &dialect_sandbox, .prefix = "/sandbox", .routes = sandbox_routes,
          .n_routes = ELEMENTSOF(sandbox_routes) },
        { .dialect = &dialect_none, .prefix = "", .routes = root_routes, .n_routes = ELEMENTSOF(root_routes) },
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
