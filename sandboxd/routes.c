/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/bus-names.h"
#include "sandboxd/api.h"
#include "sandboxd/create-input.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/file-input.h"
#include "sandboxd/http/dialect.h"

#define SANDBOX "/sandboxes/:id"
#define TERMINAL SANDBOX "/terminals/:terminal"
#define INPUT (ROUTE_BODY_STREAM | ROUTE_QUIET)

/* THE table of /sandbox. Sorted by path; what dispatches, prints and is tested is this. */
static const Route sandbox_routes[] = {
        /* method path                             handler                flags              help */
        { "POST",   "/admin/sweep",                  api_sweep,             0,                 "End what is expired",
          .reply = "Swept" },
        { "GET",    "/events/history",               api_event_history,     0,                 "What happened",
          .input = &event_history_table, .reply = "Events" },
        { "POST",   "/events/publish",               api_event_publish,     ROUTE_QUIET,       "Say what happened",
          .input = &event_publish_table, .reply = "Event" },
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
          .input = &global_metrics_table, .reply = "GlobalMetrics" },
        { "GET",    "/metrics/prometheus",           api_prometheus,        0,                 "For its scraper",
          .reply = "bytes" },
        { "POST",   "/observability/clear",          api_observability_clear, 0,               "Forget traces",
          .input = &traces_clear_table, .reply = "Cleared" },
        { "GET",    "/observability/metrics",        api_observability_metrics, 0,             "What traces come to",
          .reply = "ObservabilityMetrics" },
        { "GET",    "/observability/traces",         api_traces,            0,                 "Requests of late",
          .input = &traces_table, .reply = "Traces" },
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
        { "GET",    SANDBOX "/stream/logs",          api_stream_logs,       0,                 "What it says",
          .input = &stream_logs_table, .reply = "events:LogEvent" },
        { "GET",    SANDBOX "/stream/metrics",       api_stream_metrics,    0,                 "What it uses",
          .input = &stream_metrics_table, .reply = "events:SandboxMetrics" },
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
        { "GET",    "/stream/events",                api_stream_events,     0,                 "As it happens",
          .input = &stream_events_table, .reply = "events:Event" },
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
