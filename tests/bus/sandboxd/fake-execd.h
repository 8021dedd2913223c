/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/sandbox-spec.h"

/* io.sandboxd.Exec1 as the core sees it: sandboxes are entries of a list, commands are children of the test. */

#define FAKE_MAX 64U
#define FAKE_SANDBOXES_MAX 1024U
#define FAKE_STATS { .cpu_usec = 500000, .memory_current = 20 * MiB + 5, .memory_max = 512 * MiB, .pids_current = 2, \
                     .source = "cgroup" }

typedef struct FakeSandbox {
        char id[33], state[8];
        char *label;
        uint64_t deadline_usec, created_usec;
} FakeSandbox;

typedef struct FakeCommand {
        struct FakeExecd *execd;
        char sandbox[33], id[40];
        int pid, code, status;
        bool used, running, timed_out;
        uint64_t started_usec, ended_usec;
        int kept[3];
        size_t n_kept;
        sd_event_source *child, *timer;
} FakeCommand;

typedef struct FakePort {
        char sandbox[33];
        uint16_t container_port, host_port;
        bool udp;
} FakePort;

typedef struct FakeVolume {
        char sandbox[33], id[40], path[64];
        bool read_only;
        uint64_t bytes;
} FakeVolume;

typedef struct FakeExecd {
        Service *service;
        BusServer *server;
        int listen_fd;
        char path[108];
        FakeSandbox sandboxes[FAKE_SANDBOXES_MAX];
        size_t n_sandboxes;
        FakeCommand commands[FAKE_MAX];
        FakePort ports[FAKE_MAX];
        size_t n_ports;
        FakeVolume volumes[8];  /* mounted */
        size_t n_volumes;
        /* Before each call's work. May be NULL. */
        void (*on_call)(struct FakeExecd *f, const char *member);
        /* The connection is cut instead of an answer to the next call of this method, before or after its work. */
        const char *cut_before, *cut_after;
        /* The next call of this method fails so. */
        const char *fail_method, *fail_name;
        /* The same, but its work is done. */
        const char *fail_after;
        /* A command may be asked for twice; the second time it is refused. */
        bool may_repeat;
        /* The next answer of Commands() knows of none: it was asked before the call that starts one came in. */
        bool hide_commands;
        /* The answer to a creation brings the id for the next one. */
        bool lend;
        /* Connect() waits for fake_execd_let_connect(). */
        bool hold_connect;
        sd_bus_message *held_connect;
        int servers[FAKE_MAX];  /* the other ends of what Connect() gave */
        size_t n_servers;
        uint64_t wake_usec;
        unsigned n_repeats;
        SandboxStats stats;     /* of each */
        unsigned n_calls, n_kills, n_acknowledged, n_reserved, n_execs, n_stats;
} FakeExecd;

void fake_execd_start(FakeExecd *f, Service *service, const char *directory);
/* Like a kill -9: all connections break, what runs goes on, a new one answers. */
void fake_execd_crash(FakeExecd *f);
void fake_execd_stop(FakeExecd *f);
void fake_execd_gone(FakeExecd *f, const char *id, const char *reason);
void fake_execd_let_connect(FakeExecd *f);
/* Somebody listens whom sandboxd does not know of. */
void fake_execd_add_port(FakeExecd *f, const char *id, uint16_t port, bool udp, uint16_t host_port);
FakeSandbox *fake_execd_add(FakeExecd *f, const char *id, const char *state, const char *label);
