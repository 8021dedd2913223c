/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/route.h"

/* The handlers of the /sandbox dialect, one file a resource, and what they share. */

extern const RouteTable route_tables[];
extern const size_t n_route_tables;
int routes_print(void);
extern const RequestGuard idempotency_guard;
extern const RequestGate proxy_gate;

/* The sandbox that ":id" names. live: it must run or be paused; running: it must run. */
typedef enum SandboxNeed {
        NEED_ANY,
        NEED_LIVE,
        NEED_RUNNING,
} SandboxNeed;

int api_get_sandbox(Request *request, SandboxNeed need, Sandbox **ret, sd_bus_error *error);
/* The background command that ":id" names. */
int api_get_background(Request *request, Command **ret, sd_bus_error *error);

/* The terminal that ":terminal" names, of the sandbox that ":id" names, whether it lives or not. */
int api_get_terminal(Request *request, Command **ret, sd_bus_error *error);

/* The live command that ":command" names, of the sandbox that ":id" names. */
int api_get_command(Request *request, Sandbox **ret_sandbox, Command **ret, sd_bus_error *error);

/* A request that waits for an answer from the bus. It outlives its client: then request is NULL. */
typedef struct ApiCall ApiCall;

/* < 0 with error filled is answered by the caller. */
typedef int (*ApiAnswer)(ApiCall *call, sd_bus_message *reply, sd_bus_error *error);

struct ApiCall {
        Request *request;
        Manager *manager;
        Sandbox *sandbox;
        ApiAnswer answer;
        /* Before everything else, also when the client is gone. May be NULL. */
        void (*on_reply)(ApiCall *call, sd_bus_message *reply, const sd_bus_error *error);
        void *data;
        void (*free_data)(void *data);
        IdempotencyUse *use;    /* of the request's key; may be NULL */
        int64_t number;
        int fd;
};

ApiCall *api_call_new(Request *request, Sandbox *s);
ApiCall *api_call_free(ApiCall *call);
DEFINE_CLEANUP(ApiCall *, api_call_free)
/* A PeerCallback with the call as userdata. */
void api_call_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata);
/* The same for a signal to a process: in this dialect it is a success even if nobody was hit. */
void api_process_told(sd_bus_message *reply, const sd_bus_error *error, void *userdata);
/* What a handler returns after it tried to send: hands the call over to api_call_done(), or says why not. */
int api_call_sent(ApiCall **call, int r, sd_bus_error *error);
/* A whole handler: asks a method about the sandbox that ":id" names, which must be live. */
int api_ask_execd(Request *request, const char *method, ApiAnswer answer, sd_bus_error *error);
/* What a route takes: read by the table, handed to the handler, freed whatever comes of it. input has the defaults. */
typedef struct ApiInput {
        const JsonField *fields;
        size_t n_fields;
        int (*handler)(Request *request, void *input, sd_bus_error *error);
} ApiInput;

int api_with_input(Request *request, const ApiInput *route, void *input, sd_bus_error *error);
/* Ends a call from anywhere else. */
void api_call_fail(ApiCall *call, const sd_bus_error *error);
/* What a callback that has the answer replies to; then it is the server's, and the call can be freed. NULL: the client is
 * gone, or has just been told the error. */
Request *api_call_take_request(ApiCall *call, const sd_bus_error *error);
/* What a function that returned r left in error, or else r itself. */
void api_reply_failure(Request *request, const sd_bus_error *error, int r);

int api_unavailable(int r, sd_bus_error *error);
int api_reply_success(Request *request);
/* {"success": true}, whatever came back. */
int api_answer_success(ApiCall *call, sd_bus_message *reply, sd_bus_error *error);

/* The ExecResult of a command that has exited; 504 if its time was over. */
int api_reply_result(Request *request, const Command *c);

/* What the routes take that are not read by a module of their own. */
extern const JsonTable alert_table, alert_history_table, network_table, network_member_table, template_table;
extern const JsonTable clone_table, fork_table, restore_table, snapshot_table;
extern const JsonTable egress_table;
extern const JsonTable env_key_table, env_set_table;
extern const JsonTable git_branch_table, git_checkout_table, git_clone_table, git_commit_table, git_diff_table;
extern const JsonTable git_log_table, git_pull_table, git_push_table, git_status_table;
extern const JsonTable interpret_execute_table, interpret_install_table, context_new_table, context_execute_table;
extern const JsonTable port_expose_table, port_remove_table;
extern const JsonTable proxy_config_table, proxy_envelope_table, proxy_url_table;
extern const JsonTable queue_dlq_table, queue_list_table, queue_purge_table, queue_submit_table;
extern const JsonTable background_logs_table, exec_interrupt_table, exec_signal_table, process_kill_table;
extern const JsonTable sandbox_limits_table, sandbox_list_table, sandbox_renew_table;
extern const JsonTable event_history_table, event_publish_table;
extern const JsonTable traces_table, traces_clear_table, global_metrics_table;
extern const JsonTable stream_events_table, stream_logs_table, stream_metrics_table;
extern const JsonTable webhook_table, webhook_change_table, webhook_deliveries_table;
extern const JsonTable terminal_open_table, terminal_resize_table, terminal_attach_table;
extern const JsonTable session_open_table, terminal_channel_table;
extern const JsonTable volume_attach_table, volume_table;
extern const JsonTable file_raw_get_table, file_raw_put_table, file_watch_table, upload_table;

json_t *sandbox_to_json(const Manager *m, const Sandbox *s);
json_t *background_to_json(const Command *c);
json_t *terminal_to_json(const Command *c);
/* The session of a terminal that POST /terminal has opened, with keys that have not been used. NULL: it came to none. */
json_t *session_renew(Command *c);
/* last is what the rate is since; it becomes this one. */
json_t *metrics_to_json(const Sandbox *s, const SandboxStats *stats, CpuSample *last);
/* Reads a reply of StatsMany(): each sandbox's object in by_id gets its "metrics". */
int metrics_add(Manager *m, json_t *by_id, sd_bus_message *reply, sd_bus_error *error);
/* The entrypoint of a new sandbox. */
void api_start_entrypoint(Manager *m, Sandbox *s);
/* -EINVAL with error when it is none. */
int api_parse_signal(const char *name, int *ret, sd_bus_error *error);

int api_alert_create(Request *request, sd_bus_error *error);
int api_alert_list(Request *request, sd_bus_error *error);
int api_alert_delete(Request *request, sd_bus_error *error);
int api_alert_history(Request *request, sd_bus_error *error);

int api_template_create(Request *request, sd_bus_error *error);
int api_template_list(Request *request, sd_bus_error *error);
int api_template_get(Request *request, sd_bus_error *error);
int api_template_delete(Request *request, sd_bus_error *error);
/* The input of a creation: over the template that it names, if it does. A new reference. */
int api_apply_template(Request *request, json_t **ret, sd_bus_error *error);

int api_volume_attach(Request *request, sd_bus_error *error);
int api_volume_create(Request *request, sd_bus_error *error);
int api_volume_delete(Request *request, sd_bus_error *error);
int api_volume_detach(Request *request, sd_bus_error *error);
int api_volume_get(Request *request, sd_bus_error *error);
int api_volume_list(Request *request, sd_bus_error *error);
int api_webhook_create(Request *request, sd_bus_error *error);
int api_webhook_list(Request *request, sd_bus_error *error);
int api_webhook_get(Request *request, sd_bus_error *error);
int api_webhook_change(Request *request, sd_bus_error *error);
int api_webhook_delete(Request *request, sd_bus_error *error);
int api_webhook_test(Request *request, sd_bus_error *error);
int api_webhook_deliveries(Request *request, sd_bus_error *error);

int api_worker_list(Request *request, sd_bus_error *error);
int api_worker_heartbeat(Request *request, sd_bus_error *error);
int api_worker_select(Request *request, sd_bus_error *error);
int api_worker_reap(Request *request, sd_bus_error *error);
int api_worker_migrate(Request *request, sd_bus_error *error);

int api_sandbox_create(Request *request, sd_bus_error *error);
int api_sandbox_list(Request *request, sd_bus_error *error);
int api_sandbox_get(Request *request, sd_bus_error *error);
int api_sandbox_delete(Request *request, sd_bus_error *error);
int api_sandbox_pause(Request *request, sd_bus_error *error);
int api_sandbox_resume(Request *request, sd_bus_error *error);
int api_sandbox_renew(Request *request, sd_bus_error *error);
int api_sandbox_limits(Request *request, sd_bus_error *error);

int api_sandbox_clone(Request *request, sd_bus_error *error);
int api_sandbox_fork(Request *request, sd_bus_error *error);
int api_snapshot_clone(Request *request, sd_bus_error *error);
int api_snapshot_create(Request *request, sd_bus_error *error);
int api_snapshot_delete(Request *request, sd_bus_error *error);
int api_snapshot_list(Request *request, sd_bus_error *error);
int api_snapshot_restore(Request *request, sd_bus_error *error);

int api_exec(Request *request, sd_bus_error *error);
int api_exec_stream(Request *request, sd_bus_error *error);
int api_exec_background(Request *request, sd_bus_error *error);
int api_exec_interrupt(Request *request, sd_bus_error *error);
int api_exec_list(Request *request, sd_bus_error *error);
int api_exec_signal(Request *request, sd_bus_error *error);
int api_exec_stdin(Request *request, sd_bus_error *error);
int api_background_status(Request *request, sd_bus_error *error);
int api_background_logs(Request *request, sd_bus_error *error);

int api_proxy_config(Request *request, sd_bus_error *error);
int api_proxy_envelope(Request *request, sd_bus_error *error);
int api_proxy_pass(Request *request, sd_bus_error *error);
int api_proxy_url(Request *request, sd_bus_error *error);

int api_queue_submit(Request *request, sd_bus_error *error);
int api_queue_list(Request *request, sd_bus_error *error);
int api_queue_status(Request *request, sd_bus_error *error);
int api_queue_cancel(Request *request, sd_bus_error *error);
int api_queue_requeue(Request *request, sd_bus_error *error);
int api_queue_dlq(Request *request, sd_bus_error *error);
int api_queue_purge(Request *request, sd_bus_error *error);

int api_event_history(Request *request, sd_bus_error *error);
int api_event_publish(Request *request, sd_bus_error *error);
int api_stream_events(Request *request, sd_bus_error *error);
int api_stream_logs(Request *request, sd_bus_error *error);
int api_stream_metrics(Request *request, sd_bus_error *error);

/* An HttpServerOptions.on_outcome. */
struct HttpOutcome;
void api_trace(const struct HttpOutcome *outcome, void *userdata);
json_int_t api_count_active(Manager *m);
int api_traces(Request *request, sd_bus_error *error);
int api_observability_metrics(Request *request, sd_bus_error *error);
int api_observability_clear(Request *request, sd_bus_error *error);
int api_prometheus(Request *request, sd_bus_error *error);

int api_terminal_open(Request *request, sd_bus_error *error);
int api_terminal_list(Request *request, sd_bus_error *error);
int api_terminal_get(Request *request, sd_bus_error *error);
int api_terminal_resize(Request *request, sd_bus_error *error);
int api_terminal_close(Request *request, sd_bus_error *error);
int api_terminal_stream(Request *request, sd_bus_error *error);
int api_terminal_input(Request *request, sd_bus_error *error);
int api_terminal_socket(Request *request, sd_bus_error *error);
int api_terminal_channel(Request *request, sd_bus_error *error);
int api_session_open(Request *request, sd_bus_error *error);

int api_network_create(Request *request, sd_bus_error *error);
int api_network_list(Request *request, sd_bus_error *error);
int api_network_connect(Request *request, sd_bus_error *error);
int api_network_disconnect(Request *request, sd_bus_error *error);
int api_network_delete(Request *request, sd_bus_error *error);

int api_env_get(Request *request, sd_bus_error *error);
int api_env_set(Request *request, sd_bus_error *error);
int api_egress_get(Request *request, sd_bus_error *error);
int api_egress_set(Request *request, sd_bus_error *error);
int api_env_list(Request *request, sd_bus_error *error);
int api_env_delete(Request *request, sd_bus_error *error);

int api_git_clone(Request *request, sd_bus_error *error);
int api_git_status(Request *request, sd_bus_error *error);
int api_git_commit(Request *request, sd_bus_error *error);
int api_git_diff(Request *request, sd_bus_error *error);
int api_git_log(Request *request, sd_bus_error *error);
int api_git_branch(Request *request, sd_bus_error *error);
int api_git_checkout(Request *request, sd_bus_error *error);
int api_git_push(Request *request, sd_bus_error *error);
int api_git_pull(Request *request, sd_bus_error *error);

int api_context_new(Request *request, sd_bus_error *error);
int api_context_list(Request *request, sd_bus_error *error);
int api_context_get(Request *request, sd_bus_error *error);
int api_context_execute(Request *request, sd_bus_error *error);
int api_context_interrupt(Request *request, sd_bus_error *error);
int api_context_restart(Request *request, sd_bus_error *error);
int api_context_delete(Request *request, sd_bus_error *error);

int api_interpret_execute(Request *request, sd_bus_error *error);
int api_interpret_install(Request *request, sd_bus_error *error);
int api_interpret_kernels(Request *request, sd_bus_error *error);

int api_file_read(Request *request, sd_bus_error *error);
int api_file_write(Request *request, sd_bus_error *error);
int api_file_delete(Request *request, sd_bus_error *error);
int api_file_list(Request *request, sd_bus_error *error);
int api_file_search(Request *request, sd_bus_error *error);
int api_file_upload(Request *request, sd_bus_error *error);
int api_file_download(Request *request, sd_bus_error *error);
int api_file_info(Request *request, sd_bus_error *error);
int api_file_move(Request *request, sd_bus_error *error);
int api_file_mkdir(Request *request, sd_bus_error *error);
int api_file_rmdir(Request *request, sd_bus_error *error);
int api_file_chmod(Request *request, sd_bus_error *error);
int api_file_watch(Request *request, sd_bus_error *error);
int api_file_get_raw(Request *request, sd_bus_error *error);
int api_file_put_raw(Request *request, sd_bus_error *error);

int api_upload_append(Request *request, sd_bus_error *error);
int api_upload_begin(Request *request, sd_bus_error *error);
int api_upload_delete(Request *request, sd_bus_error *error);
int api_upload_get(Request *request, sd_bus_error *error);
int api_upload_list(Request *request, sd_bus_error *error);

int api_port_expose(Request *request, sd_bus_error *error);
int api_port_list(Request *request, sd_bus_error *error);
int api_port_remove(Request *request, sd_bus_error *error);

int api_process_list(Request *request, sd_bus_error *error);
int api_process_kill(Request *request, sd_bus_error *error);
int api_process_top(Request *request, sd_bus_error *error);

int api_sandbox_metrics(Request *request, sd_bus_error *error);
int api_global_metrics(Request *request, sd_bus_error *error);
int api_pool_status(Request *request, sd_bus_error *error);

int api_health(Request *request, sd_bus_error *error);
int api_health_service(Request *request, sd_bus_error *error);
int api_sweep(Request *request, sd_bus_error *error);
int api_images(Request *request, sd_bus_error *error);
int api_openapi(Request *request, sd_bus_error *error);
