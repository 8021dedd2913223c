/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/execd-client.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* Thin on purpose: arguments in, message out. Which calls may be repeated after a broken connection is decided here,
 * call by call: those that leave the same state when they are done twice. */

struct ExecdClient {
        Peer *peer;
        ExecdHandlers handlers;
        char next[SANDBOX_ID_LENGTH + 1];       /* "": none */
        const sd_bus *next_bus;
};

static int on_command_exited(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ExecdClient *c = userdata;
        CommandStatus s = {};
        int timed_out, oom, r;

        (void) error;
        r = sd_bus_message_read(m, "ssiibbt", &s.sandbox, &s.command, &s.code, &s.status, &timed_out, &oom,
                                &s.ended_usec);
        if (r < 0)
                return log_warning_errno(r, "Failed to read the signal CommandExited, ignoring: %m");
        s.timed_out = timed_out;
        s.oom = oom;
        c->handlers.on_command(&s, c->handlers.userdata);
        return 0;
}

static int on_sandbox_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ExecdClient *c = userdata;
        const char *id, *reason;
        int r;

        (void) error;
        r = sd_bus_message_read(m, "ss", &id, &reason);
        if (r < 0)
                return log_warning_errno(r, "Failed to read the signal SandboxGone, ignoring: %m");
        c->handlers.on_gone(id, reason, c->handlers.userdata);
        return 0;
}

static int on_connect(sd_bus *bus, void *userdata) {
        ExecdClient *c = userdata;
        int r;

        c->next[0] = 0;
        r = sd_bus_match_signal_async(bus, NULL, NULL, EXEC_OBJECT, EXEC_INTERFACE, "CommandExited",
                                      on_command_exited, NULL, userdata);
        if (r < 0)
                return r;
        return sd_bus_match_signal_async(bus, NULL, NULL, EXEC_OBJECT, EXEC_INTERFACE, "SandboxGone",
                                         on_sandbox_gone, NULL, userdata);
}

static void on_commands(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        ExecdClient *c = userdata;

        if (reply)
                c->handlers.on_commands(reply, c->handlers.userdata);
        else
                log_warning("sandbox-execd does not answer after a broken connection, trying again: %s",
                            error->message);
        peer_settled(c->peer, reply != NULL);
}

/* After a broken connection signals may have been lost. So before anything else is sent all commands are asked for;
 * until they are known the connection does not count as being back. */
static void on_return(Peer *p, void *userdata) {
        ExecdClient *c = userdata;

        if (execd_call(c, "Commands", "", on_commands, c) < 0)
                peer_settled(p, false);
}

int execd_client_new(sd_event *event, const char *path, const ExecdHandlers *handlers, ExecdClient **ret) {
        _cleanup_(execd_client_freep) ExecdClient *c = new0(ExecdClient, 1);
        int r;

        if (!c)
                return -ENOMEM;
        c->handlers = *handlers;
        r = peer_new(&(PeerOptions) { .event = event, .path = path, .object = EXEC_OBJECT, .on_connect = on_connect,
                                      .on_return = on_return, .userdata = c }, &c->peer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

ExecdClient *execd_client_free(ExecdClient *c) {
        if (c) {
                peer_free(c->peer);
                free(c);
        }
        return NULL;
}

void execd_client_set_attached(ExecdClient *c, bool attached) {
        peer_set_attached(c->peer, attached);
}

bool execd_client_is_lost(const ExecdClient *c) {
        return peer_is_lost(c->peer);
}

void peer_ignore(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        (void) reply;
        (void) userdata;
        if (error)
                log_debug("A call failed, ignoring: %s", error->message);
}

/* A message of Exec1 with its first argument, the id. */
static int begin(ExecdClient *c, const char *member, const char *id, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, EXEC_INTERFACE, member, &m);
        if (r < 0)
                return r;
        r = sd_bus_message_append_basic(m, 's', id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static int call_without_arguments(ExecdClient *c, const char *member, PeerFlags flags, PeerCallback callback,
                                  void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, EXEC_INTERFACE, member, &m);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, flags, callback, userdata);
}

int execd_reserve(ExecdClient *c, PeerCallback callback, void *userdata) {
        /* An id that was on its way when execd went away is given back by execd itself. */
        return call_without_arguments(c, "Reserve", PEER_REPEATABLE, callback, userdata);
}

int execd_ping(ExecdClient *c, PeerCallback callback, void *userdata) {
        return peer_ping(c->peer, callback, userdata);
}

int execd_list(ExecdClient *c, PeerCallback callback, void *userdata) {
        return call_without_arguments(c, "List", PEER_REPEATABLE, callback, userdata);
}

int execd_stats_many(ExecdClient *c, char *const *ids, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, EXEC_INTERFACE, "StatsMany", &m);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) ids);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_create(ExecdClient *c, const char *id, sd_bus_message *prepared, const SandboxSpec *spec,
                 PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Create", id, &m);
        if (r >= 0)
                r = sd_bus_message_copy(m, prepared, /* all= */ false);
        if (r >= 0)
                r = bus_fields_append(m, sandbox_spec_fields, n_sandbox_spec_fields, spec);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, 0, callback, userdata);
}

void execd_keep_next(ExecdClient *c, sd_bus_message *created) {
        const char *key, *id;
        int r;

        r = sd_bus_message_skip(created, "u");
        if (r >= 0)
                r = sd_bus_message_enter_container(created, 'a', "{sv}");
        while (r >= 0 && sd_bus_message_enter_container(created, 'e', "sv") > 0) {
                r = sd_bus_message_read_basic(created, 's', &key);
                if (r < 0)
                        return;
                if (!streq(key, "Next"))
                        r = sd_bus_message_skip(created, "v");
                else if ((r = sd_bus_message_read(created, "v", "s", &id)) >= 0 && sandbox_id_is_valid(id)) {
                        memcpy(c->next, id, sizeof c->next);
                        c->next_bus = sd_bus_message_get_bus(created);
                }
                if (r >= 0)
                        r = sd_bus_message_exit_container(created);
        }
}

bool execd_take_next(ExecdClient *c, char ret[static SANDBOX_ID_LENGTH + 1]) {
        bool good = c->next[0] && c->next_bus == peer_connection(c->peer);

        if (good)
                memcpy(ret, c->next, sizeof c->next);
        c->next[0] = 0;
        return good;
}

const sd_bus *execd_connection(const ExecdClient *c) {
        return peer_connection(c->peer);
}

int execd_copy(ExecdClient *c, const char *member, const char *id, sd_bus_message *made, uint64_t bytes_max,
               PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, member, id, &m);
        if (r >= 0)
                r = sd_bus_message_copy(m, made, /* all= */ false);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 't', &bytes_max);
        return r < 0 ? r : peer_send(c->peer, m, PEER_SLOW, callback, userdata);
}

int execd_replace_root(ExecdClient *c, const char *member, const char *id, sd_bus_message *prepared,
                       PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, member, id, &m);
        if (r >= 0)
                r = sd_bus_message_copy(m, prepared, /* all= */ false);
        return r < 0 ? r : peer_send(c->peer, m, 0, callback, userdata);
}

int execd_freeze(ExecdClient *c, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Freeze", id, &m);
        return r < 0 ? r : peer_send(c->peer, m, 0, callback, userdata);
}

int execd_call(ExecdClient *c, const char *member, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, member, id, &m);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_set_wake(ExecdClient *c, uint64_t usec, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, EXEC_INTERFACE, "SetWake", &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 't', &usec);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_set_deadline(ExecdClient *c, const char *id, uint64_t deadline_usec, PeerCallback callback,
                       void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "SetDeadline", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "t", deadline_usec);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_claim(ExecdClient *c, const char *id, uint64_t deadline_usec, const char *label, PeerCallback callback,
                void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Claim", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ts", deadline_usec, label);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_pool(ExecdClient *c, PeerCallback callback, void *userdata) {
        return call_without_arguments(c, "Pool", PEER_REPEATABLE, callback, userdata);
}

int execd_set_limits(ExecdClient *c, const char *id, const SandboxLimits *limits, PeerCallback callback,
                     void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "SetLimits", id, &m);
        if (r >= 0)
                r = bus_fields_append(m, sandbox_limits_fields, n_sandbox_limits_fields, limits);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

static int append_descriptors(sd_bus_message *m, const int *fds, size_t n) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "h");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append_basic(m, 'h', fds + i);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int execd_exec(ExecdClient *c, const ExecCall *call, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Exec", call->sandbox, &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', call->command);
        if (r >= 0)
                r = bus_fields_append(m, command_spec_fields, n_command_spec_fields, call->spec);
        if (r >= 0)
                r = append_descriptors(m, call->stdio, 3);
        if (r >= 0)
                r = append_descriptors(m, call->keep, call->n_keep);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, 0, callback, userdata);
}

int execd_signal(ExecdClient *c, const char *id, const char *command, int signal, bool all, PeerCallback callback,
                 void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Signal", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sib", command, signal, all);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, signal == 9 ? PEER_REPEATABLE : 0, callback, userdata);
}

int execd_kill_process(ExecdClient *c, const char *id, uint32_t pid, int signal, PeerCallback callback,
                       void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "KillProcess", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ui", pid, signal);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, 0, callback, userdata);
}

/* Not repeated: the volume's record says what is under way, and whoever asks again goes on from there. */
int execd_attach_volume(ExecdClient *c, const ExecdVolume *volume, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "AttachVolume", volume->sandbox, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "shs", volume->id, volume->directory_fd, volume->path);
        if (r >= 0)
                r = bus_fields_append(m, volume_spec_fields, n_volume_spec_fields, &volume->spec);
        return r < 0 ? r : peer_send(c->peer, m, 0, callback, userdata);
}

int execd_detach_volume(ExecdClient *c, const ExecdVolume *volume, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "DetachVolume", volume->sandbox, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "shs", volume->id, volume->directory_fd, volume->path);
        return r < 0 ? r : peer_send(c->peer, m, 0, callback, userdata);
}

int execd_ask_volume(ExecdClient *c, const char *member, const ExecdVolume *volume, PeerCallback callback,
                     void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, member, volume->id, &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 'h', &volume->directory_fd);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_expose(ExecdClient *c, const ExposeCall *call, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Expose", call->sandbox, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "qsqb", call->container_port, call->protocol, call->host_port,
                                          (int) call->insist);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_unexpose(ExecdClient *c, const char *id, uint16_t container_port, const char *protocol,
                   PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Unexpose", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "qs", container_port, protocol);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_acknowledge(ExecdClient *c, const char *id, const char *command) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Acknowledge", id, &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', command);
        if (r < 0)
                return r;
        return peer_post(c->peer, m);
}

int execd_attach(ExecdClient *c, const char *id, const char *command, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Attach", id, &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', command);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_connect(ExecdClient *c, const char *id, uint16_t port, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Connect", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "u", (uint32_t) port);
        if (r < 0)
                return r;
        return peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int execd_read_command(sd_bus_message *m, CommandStatus *ret) {
        CommandStatus s = {};
        int running, timed_out, r;

        r = sd_bus_message_read(m, "(ssubiibtt)", &s.sandbox, &s.command, &s.pid, &running, &s.code, &s.status,
                                &timed_out, &s.started_usec, &s.ended_usec);
        if (r <= 0)
                return r;
        s.running = running;
        s.timed_out = timed_out;
        *ret = s;
        return 1;
}

static const BusField pool_fields[] = {
        { "Hits",    BUS_FIELD_U64, offsetof(PoolFigures, hits)    },
        { "Making",  BUS_FIELD_U32, offsetof(PoolFigures, making)  },
        { "Misses",  BUS_FIELD_U64, offsetof(PoolFigures, misses)  },
        { "Ready",   BUS_FIELD_U32, offsetof(PoolFigures, ready)   },
        { "Size",    BUS_FIELD_U32, offsetof(PoolFigures, size)    },
        { "Waiting", BUS_FIELD_U32, offsetof(PoolFigures, waiting) },
};

int execd_read_pool(sd_bus_message *m, PoolFigures *ret, sd_bus_error *error) {
        return bus_fields_read(m, pool_fields, ELEMENTSOF(pool_fields), ret, error);
}

int execd_read_stats(sd_bus_message *m, SandboxStats *ret, sd_bus_error *error) {
        return bus_fields_read(m, sandbox_stats_fields, n_sandbox_stats_fields, ret, error);
}

int execd_read_stats_row(sd_bus_message *m, const char **ret_id, SandboxStats *ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(m, 'r', "sa{sv}");
        if (r <= 0)
                return r;
        r = sd_bus_message_read_basic(m, 's', ret_id);
        if (r >= 0)
                r = execd_read_stats(m, ret, error);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

void sandbox_stats_done(SandboxStats *s) {
        bus_fields_done(sandbox_stats_fields, n_sandbox_stats_fields, s);
}
