/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/manager-bus.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/command-bus.h"
#include "sandbox-execd/connect.h"
#include "sandbox-execd/copy.h"
#include "sandbox-execd/file-worker.h"
#include "sandbox-execd/network.h"
#include "sandbox-execd/pause.h"
#include "sandbox-execd/port.h"
#include "sandbox-execd/process.h"
#include "sandbox-execd/root.h"
#include "sandbox-execd/sandbox-steps.h"
#include "sandbox-execd/snapshot-bus.h"
#include "sandbox-execd/stats-bus.h"
#include "sandbox-execd/volume.h"

/* Methods parse, check, call and reply; what they call is tested without a bus. A method that cannot answer at once keeps
 * its message and returns 1; whoever finishes the work answers. The error names are the interface, the texts are for
 * people. */

/* What a client can do something about gets a name of its own: make room, correct the call, call again, wait. All else
 * is "not available", whose reason stands in the log. */
int method_error(sd_bus_error *error, int r, const char *what) {
        const char *name = r == -ENOSPC || r == -EDQUOT                       ? BUS_ERROR_NO_SPACE
                           : r == -E2BIG || r == -EINVAL                      ? BUS_ERROR_INVALID
                           : r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN ? BUS_ERROR_INTERRUPTED
                           : r == -EMFILE || r == -ENFILE || r == -EAGAIN      ? BUS_ERROR_LIMIT_REACHED
                                                                              : BUS_ERROR_UNAVAILABLE;

        return bus_error_set(error, name, "Failed to %s: %s.", what, strerror(-r));
}

/* Without a server (a test over a socketpair) the caller is one of us. */
static uid_t peer_uid(sd_bus_message *message, Manager *m) {
        return m->server ? bus_server_peer_uid(m->server, sd_bus_message_get_bus(message)) : 0;
}

/* The socket lets in the services only; this says which of them may call what. */
int method_check_peer(sd_bus_message *message, Manager *m, bool fsd_may, sd_bus_error *error) {
        uid_t uid = peer_uid(message, m);

        if (uid == 0 || uid == m->sandboxd_uid || (fsd_may && uid == m->fsd_uid))
                return 0;
        return bus_error_set(error, BUS_ERROR_DENIED, "Not for user %u.", uid);
}

/* A reserved sandbox that nobody created yet does not exist for callers, except for the two methods that end the
 * reservation: Create and Kill. */
static int find(sd_bus_message *message, Manager *m, MethodNeeds needs, Sandbox **ret, sd_bus_error *error) {
        const char *id;
        Sandbox *s;
        int r;

        r = sd_bus_message_read_basic(message, 's', &id);
        if (r < 0)
                return r;
        if (!sandbox_id_is_valid(id))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a sandbox's id: '%.64s'.", id);
        s = manager_get(m, id);
        if (!s || (needs != NEEDS_ANY && !s->created))
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox '%s'.", id);
        if (needs >= NEEDS_LIVE && s->state != SANDBOX_LIVE)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is not live.", id);
        if (needs == NEEDS_RUNNING && s->replace)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is being restored.", id);
        if (needs == NEEDS_RUNNING && s->paused)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is paused.", id);
        *ret = s;
        return 0;
}

int method_sandbox(sd_bus_message *message, Manager *m, MethodNeeds needs, Sandbox **ret, sd_bus_error *error) {
        int r = method_check_peer(message, m, false, error);

        return r < 0 ? r : find(message, m, needs, ret, error);
}

static int method_reserve(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *m = userdata;
        int r;

        r = method_check_peer(message, m, false, error);
        if (r < 0)
                return r;
        r = blanks_reserve(m, message);
        return r < 0 ? method_error(error, r, "begin a sandbox") : 1;
}

static int method_pool(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *m = userdata;
        const Pool *p = &m->blanks.pool;
        int r;

        r = method_check_peer(message, m, false, error);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(message, "a{sv}", 6,
                                          "Hits", "t", p->n_hits,
                                          "Making", "u", p->n_making,
                                          "Misses", "t", p->n_misses,
                                          "Ready", "u", p->n_ready,
                                          "Size", "u", p->used ? pool_size(p) : 0,
                                          "Waiting", "u", p->n_waiting);
}

bool method_peer_is_root(sd_bus_message *message, Manager *m) {
        return peer_uid(message, m) == 0;
}

int method_tree_error(sd_bus_error *error, int r) {
        if (r != -EPERM)
                return r;
        log_warning("A directory was passed that is neither of the store nor listed in images.d.");
        return bus_error_set(error, BUS_ERROR_DENIED, "Not a directory that a sandbox may have.");
}

/* The descriptors in a message end with it; the creation goes on longer, so it gets its own. */
int create_request_read_layers(sd_bus_message *message, Manager *m, CreateRequest *q, sd_bus_error *error) {
        int r, fd;

        r = sd_bus_message_enter_container(message, 'a', "(hsu)");
        while (r >= 0) {
                const char *target;
                uint32_t origin;
                LayerKind kind;

                r = sd_bus_message_read(message, "(hsu)", &fd, &target, &origin);
                if (r <= 0)
                        break;
                kind = layer_kind_from_string(target);
                if (kind < 0)
                        return bus_error_set(error, BUS_ERROR_INVALID, "No mount of a root is called '%s'.", target);
                if (q->n_layers == ELEMENTSOF(q->layers))
                        return bus_error_set(error, BUS_ERROR_INVALID, "Too many layers.");
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (fd < 0)
                        return -errno;
                q->layers[q->n_layers++] = (Layer) { fd, kind, origin };
                r = method_peer_is_root(message, m) ? 0 : trees_check_layer(&m->trees, &q->layers[q->n_layers - 1]);
                if (r < 0)
                        return method_tree_error(error, r);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int method_create(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(create_request_freep) CreateRequest *q = NULL;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_ANY, &s, error);
        if (r < 0)
                return r;
        if (s->created || s->pooled || s->state != SANDBOX_PARKED)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is not reserved.",
                                     s->record.id.digits);

        q = new0(CreateRequest, 1);
        if (!q)
                return -ENOMEM;
        q->spec = SANDBOX_SPEC_DEFAULT;
        r = create_request_read_layers(message, userdata, q, error);
        if (r >= 0)
                r = bus_fields_read(message, sandbox_spec_fields, n_sandbox_spec_fields, &q->spec, error);
        if (r >= 0)
                r = root_check(q, error);
        if (r < 0)
                return r;
        q->call = sd_bus_message_ref(message);
        sandbox_create(s, TAKE_PTR(q));
        return 1;
}

void manager_reply_created(Sandbox *s) {
        const char *next;

        if (!s->create)
                return;
        next = blanks_lend(s->manager, sd_bus_message_get_bus(s->create->call));
        (void) sd_bus_reply_method_return(s->create->call, "ua{sv}", (uint32_t) s->pid, 5,
                                          "Idmapped", "b", (int) s->record.idmapped,
                                          "Network", "b", (int) s->network, /* it may have one; that it has is for sandbox-netd to say */
                                          "Next", "s", next ?: "",
                                          "Writable", "s", s->record.writable_disk ? "disk" : "tmpfs",
                                          "CreatedUSec", "t", s->record.created_usec);
        s->create = create_request_free(s->create);
}

/* A sandbox that ends while it is being created owes an answer to its Create, besides those to all its Kills. */
void manager_reply_ended(Sandbox *s) {
        const char *name = s->error == -ENOSPC ? BUS_ERROR_NO_SPACE
                           : s->error == 0     ? BUS_ERROR_INTERRUPTED
                                               : BUS_ERROR_UNAVAILABLE;

        if (s->create)
                (void) sd_bus_reply_method_errorf(s->create->call, name, "The sandbox could not be made: %s.",
                                                  s->error_text ?: "it was ended");
        manager_reply_killed(s);
}

void manager_reply_killed(Sandbox *s) {
        for (size_t i = 0; i < s->n_kill_calls; i++) {
                (void) sd_bus_reply_method_return(s->kill_calls[i], NULL);
                sd_bus_message_unref(s->kill_calls[i]);
        }
        s->n_kill_calls = 0;
}

/* Several may wait for the same end: each call is answered when nothing is left, which is what the callers build on. */
static int method_kill(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        sd_bus_message **larger;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_ANY, &s, error);
        if (r < 0)
                return r;
        if (s->pooled)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox '%s'.",
                                     s->record.id.digits);
        larger = reallocarray(s->kill_calls, s->n_kill_calls + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        s->kill_calls = larger;
        s->kill_calls[s->n_kill_calls++] = sd_bus_message_ref(message);
        sandbox_end(s, s->state == SANDBOX_LIVE || s->state == SANDBOX_RESTORING ? END_KILLED : END_FAILED);
        return 1;
}

static int pause_or_resume(sd_bus_message *message, Manager *m, bool pause, sd_bus_error *error) {
        Sandbox *s;
        int r;

        r = method_sandbox(message, m, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        r = sandbox_pause(s, pause, message);
        if (r == -EALREADY)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is %s.", s->record.id.digits,
                                     pause ? "paused already" : "not paused");
        if (r == -EOPNOTSUPP)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "This system's cgroup tree cannot freeze.");
        return r < 0 ? method_error(error, r, "pause or resume") : 1;
}

static int method_pause(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return pause_or_resume(message, userdata, true, error);
}

static int method_resume(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return pause_or_resume(message, userdata, false, error);
}

/* The file that sandbox-due reads is written first: it decides, our copy in the record only saves reading it back. */
static int change_deadline(sd_bus_message *message, Sandbox *s, uint64_t deadline, sd_bus_error *error) {
        uint64_t old = s->record.deadline_usec;
        int r;

        r = sandbox_set_deadline(s, deadline);
        if (r < 0)
                return method_error(error, r, "write the deadline");
        if (old <= now_usec(CLOCK_BOOTTIME)) {
                /* sandbox-due has read the old file perhaps, so that one counts: nobody is told that he was in time. */
                sandbox_end(s, END_EXPIRED);
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox '%s' has expired.",
                                     s->record.id.digits);
        }
        (void) state_file_write(s->manager->state_fd, &s->record);
        manager_check_deadlines(s->manager);
        return sd_bus_reply_method_return(message, NULL);
}

static int method_set_deadline(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        uint64_t deadline;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(message, 't', &deadline);
        return r < 0 ? r : change_deadline(message, s, deadline, error);
}

/* A sandbox that was made ahead becomes a client's: its label tells whose, its life begins. */
static int method_claim(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *label;
        uint64_t deadline;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r >= 0)
                r = sd_bus_message_read(message, "ts", &deadline, &label);
        if (r < 0)
                return r;
        if (strlen(label) > STATE_LABEL_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "The label is longer than %zu bytes.",
                                     (size_t) STATE_LABEL_MAX);
        r = free_and_strdup(&s->record.label, label);
        if (r < 0)
                return r;
        s->record.created_usec = now_usec(CLOCK_REALTIME);
        blanks_note_busy(userdata);
        return change_deadline(message, s, deadline, error);
}

static int method_set_wake(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        uint64_t usec;
        int r;

        r = method_check_peer(message, userdata, false, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(message, 't', &usec);
        if (r < 0)
                return r;
        r = manager_set_wake(userdata, usec);
        return r < 0 ? method_error(error, r, "write when to start sandboxd")
                     : sd_bus_reply_method_return(message, NULL);
}

typedef struct LimitsCall {
        sd_bus_message *message;
        Manager *manager;
        SandboxId id;
        ScopeLimits limits;
} LimitsCall;

static int append_limits(sd_bus_message *m, void *userdata) {
        return scope_append_limits(m, &((LimitsCall *) userdata)->limits);
}

static void on_limits_set(int error, const char *details, void *userdata) {
        LimitsCall *call = userdata;
        Sandbox *s = manager_get(call->manager, call->id.digits);

        if (error < 0)
                (void) sd_bus_reply_method_errorf(call->message, BUS_ERROR_UNAVAILABLE,
                                                  "systemd refused the limits: %s.", details ?: strerror(-error));
        else {
                if (s) {
                        s->record.memory_max_bytes = call->limits.memory_max_bytes ?: s->record.memory_max_bytes;
                        s->record.pids_max = call->limits.pids_max ?: s->record.pids_max;
                        (void) state_file_write(s->manager->state_fd, &s->record);
                }
                (void) sd_bus_reply_method_return(call->message, NULL);
        }
        sd_bus_message_unref(call->message);
        free(call);
}

static int method_set_limits(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        SystemdRequestOptions options = { .action = SYSTEMD_SET_PROPERTIES, .append_properties = append_limits,
                                          .on_done = on_limits_set };
        SandboxLimits limits = {};
        LimitsCall *call;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r >= 0)
                r = bus_fields_read(message, sandbox_limits_fields, n_sandbox_limits_fields, &limits, error);
        if (r < 0)
                return r;

        call = new0(LimitsCall, 1);
        if (!call)
                return -ENOMEM;
        *call = (LimitsCall) { sd_bus_message_ref(message), userdata, s->record.id,
                               { limits.memory_max_bytes, limits.cpu_quota_usec, limits.pids_max, limits.io_read_bps,
                                 limits.io_write_bps } };
        options.unit = s->scope;
        options.userdata = call;
        r = systemd_client_request(s->manager->systemd, &options, NULL);
        if (r < 0) {
                sd_bus_message_unref(message);
                free(call);
                return method_error(error, r, "ask for the limits");
        }
        return 1;
}

/* What is being made is not told: its client has no answer yet, and if he never gets one it is undone. */
static int method_list(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Manager *m = userdata;
        Sandbox *s;
        int r;

        r = method_check_peer(message, m, true, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sstst)");
        HASHMAP_FOREACH(s, m->sandboxes) {
                const char *state = s->state == SANDBOX_ENDING ? "dead" : s->paused ? "paused" : "live";

                if (r < 0 || !s->created || s->state == SANDBOX_MAKING)
                        continue;
                r = sd_bus_message_append(reply, "(sstst)", s->record.id.digits, state, s->record.deadline_usec,
                                          s->record.label ?: "", s->record.created_usec);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_processes(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(processes_done) Processes processes = {};
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        r = processes_read(s->cgroup_fd, s->record.base, &processes);
        if (r < 0)
                return method_error(error, r, "read the processes");
        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(uusttts)");
        for (size_t i = 0; r >= 0 && i < processes.n; i++) {
                const Process *p = processes.entries + i;
                const char state[] = { p->state, 0 };

                r = sd_bus_message_append(reply, "(uusttts)", p->pid, p->uid, state, p->cpu_usec, p->rss_bytes,
                                          p->vsz_bytes, p->command_line);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_start_file_worker(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Sandbox *s;
        int r;

        r = method_check_peer(message, userdata, true, error);
        if (r >= 0)
                r = find(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        if (s->replace)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is being restored.",
                                     s->record.id.digits);
        r = copy_defer(s, message);
        if (r < 0)
                return method_error(error, r, "start a file worker");
        if (r == 0)
                file_worker_reply(s, message);
        return 1;
}

static int append_gone(sd_bus_message *m, void *userdata) {
        const Sandbox *s = userdata;

        return sd_bus_message_append(m, "ss", s->record.id.digits, end_reason_to_string(s->end_reason));
}

void manager_emit_gone(Manager *m, const Sandbox *s) {
        if (m->server)
                (void) bus_server_emit(m->server, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone", append_gone, (void *) s);
}

const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Reserve", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", id, "b", spare), method_reserve,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Create", SD_BUS_ARGS("s", id, "a(hsu)", mounts, "a{sv}", spec),
                                SD_BUS_RESULT("u", pid, "a{sv}", info), method_create, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Kill", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_kill,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Pause", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_pause,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resume", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_resume,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Claim", SD_BUS_ARGS("s", id, "t", deadline_usec, "s", label), SD_BUS_NO_RESULT,
                                method_claim, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetDeadline", SD_BUS_ARGS("s", id, "t", deadline_usec), SD_BUS_NO_RESULT,
                                method_set_deadline, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetWake", SD_BUS_ARGS("t", wake_usec), SD_BUS_NO_RESULT, method_set_wake,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetLimits", SD_BUS_ARGS("s", id, "a{sv}", limits), SD_BUS_NO_RESULT,
                                method_set_limits, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sstst)", sandboxes), method_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stats", SD_BUS_ARGS("s", id), SD_BUS_RESULT("a{sv}", stats), method_stats,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StatsMany", SD_BUS_ARGS("as", ids), SD_BUS_RESULT("a(sa{sv})", stats),
                                method_stats_many, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Processes", SD_BUS_ARGS("s", id), SD_BUS_RESULT("a(uusttts)", processes),
                                method_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("KillProcess", SD_BUS_ARGS("s", id, "u", pid, "i", signal), SD_BUS_NO_RESULT,
                                method_kill_process, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Exec", SD_BUS_ARGS("s", id, "s", command, "a{sv}", spec, "ah", stdio, "ah", keep),
                                SD_BUS_RESULT("u", pid), method_exec, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Signal", SD_BUS_ARGS("s", id, "s", command, "i", signal, "b", all),
                                SD_BUS_NO_RESULT, method_signal, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Acknowledge", SD_BUS_ARGS("s", id, "s", command), SD_BUS_NO_RESULT,
                                method_acknowledge, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_METHOD_NO_REPLY),
        SD_BUS_METHOD_WITH_ARGS("Commands", SD_BUS_ARGS("s", id), SD_BUS_RESULT("a(ssubiibtt)", commands),
                                method_commands, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Attach", SD_BUS_ARGS("s", id, "s", command), SD_BUS_RESULT("ah", kept),
                                method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Pool", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", figures), method_pool,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenNetwork", SD_BUS_ARGS("s", id), SD_BUS_RESULT("h", namespace, "h", netlink),
                                method_open_network, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Connect", SD_BUS_ARGS("s", id, "u", port), SD_BUS_RESULT("h", socket), method_connect,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Expose",
                                SD_BUS_ARGS("s", id, "q", container_port, "s", protocol, "q", host_port, "b", insist),
                                SD_BUS_RESULT("q", host_port), method_expose, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unexpose", SD_BUS_ARGS("s", id, "q", container_port, "s", protocol),
                                SD_BUS_NO_RESULT, method_unexpose, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Ports", SD_BUS_ARGS("s", id), SD_BUS_RESULT("a(qsqb)", ports), method_ports,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Freeze", SD_BUS_ARGS("s", id),
                                SD_BUS_RESULT("u", generation, "s", result, "u", written, "u", frozen),
                                method_freeze, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Flatten", SD_BUS_ARGS("s", id, "h", directory, "t", bytes_max),
                                SD_BUS_RESULT("t", bytes, "t", files), method_flatten, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Copy", SD_BUS_ARGS("s", id, "h", directory, "t", bytes_max),
                                SD_BUS_RESULT("t", bytes, "t", files), method_copy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReplaceRoot", SD_BUS_ARGS("s", id, "a(hsu)", mounts), SD_BUS_NO_RESULT,
                                method_replace_root, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ShareRoot", SD_BUS_ARGS("s", id, "a(hsu)", mounts), SD_BUS_RESULT("b", now),
                                method_share_root, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StartFileWorker", SD_BUS_ARGS("s", id), SD_BUS_RESULT("h", socket),
                                method_start_file_worker, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("AttachVolume",
                                SD_BUS_ARGS("s", id, "s", volume, "h", directory, "s", path, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_attach_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DetachVolume", SD_BUS_ARGS("s", id, "s", volume, "h", directory, "s", path),
                                SD_BUS_NO_RESULT, method_detach_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReleaseVolume", SD_BUS_ARGS("s", volume, "h", directory), SD_BUS_NO_RESULT,
                                method_release_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("VolumeUsage", SD_BUS_ARGS("s", volume, "h", directory),
                                SD_BUS_RESULT("t", used, "t", max), method_volume_usage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("CommandExited",
                                SD_BUS_ARGS("s", id, "s", command, "i", code, "i", status, "b", timed_out, "b", oom,
                                            "t", ended_usec), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SandboxGone", SD_BUS_ARGS("s", id, "s", reason), 0),
        SD_BUS_VTABLE_END
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        /* Any arrival is an occasion to look whether sandbox-due failed to end one. */
        manager_check_deadlines(userdata);
        return sd_bus_add_object_vtable(bus, NULL, EXEC_OBJECT, EXEC_INTERFACE, manager_vtable, userdata);
}

/* What was reserved over a connection and not created ends with it: nobody else knows the id. */
static void on_disconnect(BusServer *server, sd_bus *bus, void *userdata) {
        Manager *m = userdata;
        Sandbox *s;

        (void) server;
        blanks_forget_peer(m, bus);
        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->owner == bus) {
                        s->owner = NULL;
                        sandbox_end(s, END_FAILED);
                }
}

int manager_serve(Manager *m, int listen_fd) {
        BusServerOptions options = {
                .service = m->service,
                .listen_fd = listen_fd,
                .on_connect = on_connect,
                .on_disconnect = on_disconnect,
                .userdata = m,
                .uids = m->uids,
        };

        if (m->sandboxd_uid != UID_INVALID)
                m->uids[options.n_uids++] = m->sandboxd_uid;
        if (m->fsd_uid != UID_INVALID)
                m->uids[options.n_uids++] = m->fsd_uid;
        return bus_server_new(&options, &m->server);
}
