/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/sandbox-id.h"
#include "libsandbox/sandbox-spec.h"
#include "libsandbox/volume-spec.h"
#include "sandboxd/peer.h"

/* io.sandboxd.Exec1 as functions. All answers come later, by the callback. */

typedef struct ExecdClient ExecdClient;

/* A row of Commands(), or what CommandExited() tells. */
typedef struct CommandStatus {
        const char *sandbox, *command;
        uint32_t pid;
        bool running, timed_out, oom;
        int code, status;               /* si_code and si_status of waitid() */
        uint64_t started_usec, ended_usec;
} CommandStatus;

typedef struct ExecdHandlers {
        void (*on_command)(const CommandStatus *status, void *userdata);
        void (*on_gone)(const char *id, const char *reason, void *userdata);
        /* The connection came back: reply is that of Commands("") and tells the truth about every command. */
        void (*on_commands)(sd_bus_message *reply, void *userdata);
        void *userdata;
} ExecdHandlers;

int execd_client_new(sd_event *event, const char *path, const ExecdHandlers *handlers, ExecdClient **ret);
ExecdClient *execd_client_free(ExecdClient *c);
DEFINE_CLEANUP(ExecdClient *, execd_client_free)
void execd_client_set_attached(ExecdClient *c, bool attached);
/* (attached) on_commands() will tell what was missed. */
bool execd_client_is_lost(const ExecdClient *c);

int execd_reserve(ExecdClient *c, PeerCallback callback, void *userdata);
/* prepared is fsd's answer to PrepareRoot(): its mounts are passed on. */
int execd_create(ExecdClient *c, const char *id, sd_bus_message *prepared, const SandboxSpec *spec,
                 PeerCallback callback, void *userdata);
/* The answer to a Create() may bring the id for the next one. It is kept until it is taken or the connection ends, over
 * which it was reserved. false: there is none. */
void execd_keep_next(ExecdClient *c, sd_bus_message *created);
bool execd_take_next(ExecdClient *c, char ret[static SANDBOX_ID_LENGTH + 1]);
/* See peer_connection(). */
const sd_bus *execd_connection(const ExecdClient *c);
/* Methods that take the id only: Kill, Pause, Resume, Stats, Processes, Commands (id "": all). */
/* Methods that take the id only: Kill, Pause, Resume, Ports, Stats, Processes, Commands (id "": all). */
int execd_call(ExecdClient *c, const char *member, const char *id, PeerCallback callback, void *userdata);
/* Copy, Flatten; made is fsd's answer to Make(): the directory that it names is filled. */
int execd_copy(ExecdClient *c, const char *member, const char *id, sd_bus_message *made, uint64_t bytes_max,
               PeerCallback callback, void *userdata);
/* ReplaceRoot, ShareRoot; prepared as for execd_create(). */
int execd_replace_root(ExecdClient *c, const char *member, const char *id, sd_bus_message *prepared,
                       PeerCallback callback, void *userdata);
/* Not repeated, unlike those of execd_call(). */
int execd_freeze(ExecdClient *c, const char *id, PeerCallback callback, void *userdata);
int execd_ping(ExecdClient *c, PeerCallback callback, void *userdata);
/* Of at most STATS_MANY_MAX sandboxes. */
int execd_stats_many(ExecdClient *c, char *const *ids, PeerCallback callback, void *userdata);
int execd_list(ExecdClient *c, PeerCallback callback, void *userdata);
/* When to start us, should we not run; CLOCK_BOOTTIME, USEC_INFINITY: not at all. */
int execd_set_wake(ExecdClient *c, uint64_t usec, PeerCallback callback, void *userdata);
int execd_set_deadline(ExecdClient *c, const char *id, uint64_t deadline_usec, PeerCallback callback, void *userdata);
int execd_claim(ExecdClient *c, const char *id, uint64_t deadline_usec, const char *label, PeerCallback callback,
                void *userdata);
int execd_pool(ExecdClient *c, PeerCallback callback, void *userdata);
int execd_set_limits(ExecdClient *c, const char *id, const SandboxLimits *limits, PeerCallback callback,
                     void *userdata);

typedef struct ExecCall {
        const char *sandbox, *command;
        const CommandSpec *spec;
        const int *stdio;               /* three */
        const int *keep;
        size_t n_keep;
} ExecCall;

int execd_exec(ExecdClient *c, const ExecCall *call, PeerCallback callback, void *userdata);
int execd_signal(ExecdClient *c, const char *id, const char *command, int signal, bool all, PeerCallback callback,
                 void *userdata);
/* directory_fd: as sandbox-fsd gives it. */
typedef struct ExecdVolume {
        const char *id, *sandbox, *path;
        int directory_fd;
        VolumeSpec spec;
} ExecdVolume;

int execd_attach_volume(ExecdClient *c, const ExecdVolume *volume, PeerCallback callback, void *userdata);
int execd_detach_volume(ExecdClient *c, const ExecdVolume *volume, PeerCallback callback, void *userdata);
/* Methods that need no sandbox: ReleaseVolume, VolumeUsage. */
int execd_ask_volume(ExecdClient *c, const char *member, const ExecdVolume *volume, PeerCallback callback,
                     void *userdata);
int execd_kill_process(ExecdClient *c, const char *id, uint32_t pid, int signal, PeerCallback callback,
                       void *userdata);

typedef struct ExposeCall {
        const char *sandbox, *protocol;
        uint16_t container_port, host_port;
        bool insist;            /* on that port of the host */
} ExposeCall;

int execd_expose(ExecdClient *c, const ExposeCall *call, PeerCallback callback, void *userdata);
/* protocol "": all. */
int execd_unexpose(ExecdClient *c, const char *id, uint16_t container_port, const char *protocol,
                   PeerCallback callback, void *userdata);
int execd_acknowledge(ExecdClient *c, const char *id, const char *command);
int execd_attach(ExecdClient *c, const char *id, const char *command, PeerCallback callback, void *userdata);

/* A connection to that port of the sandbox's loopback, or BUS_ERROR_UPSTREAM. */
int execd_connect(ExecdClient *c, const char *id, uint16_t port, PeerCallback callback, void *userdata);

/* > 0 while there is a row. The strings are borrowed from the message. */
int execd_read_command(sd_bus_message *m, CommandStatus *ret);

/* Of the blank pool. */
typedef struct PoolFigures {
        uint64_t hits, misses;
        uint32_t size, ready, making, waiting;
} PoolFigures;

int execd_read_pool(sd_bus_message *m, PoolFigures *ret, sd_bus_error *error);

int execd_read_stats(sd_bus_message *m, SandboxStats *ret, sd_bus_error *error);
/* > 0 while there is a row of StatsMany(); *ret_id is borrowed from the message. Free each with sandbox_stats_done(). */
int execd_read_stats_row(sd_bus_message *m, const char **ret_id, SandboxStats *ret, sd_bus_error *error);
void sandbox_stats_done(SandboxStats *s);

/* For answers that nobody needs. */
void peer_ignore(sd_bus_message *reply, const sd_bus_error *error, void *userdata);
