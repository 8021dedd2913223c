/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/init-protocol.h"
#include "libsandbox/sandbox-spec.h"

typedef struct Sandbox Sandbox;

/* A command of a sandbox as init knows it, and its cgroup run/exec-<n>, which may outlive it: what it left in the
 * background stays there. */
typedef struct Command {
        Sandbox *sandbox;
        char id[INIT_COMMAND_ID_MAX];
        char cgroup[16];
        bool running, exited;
        bool acknowledged;      /* forgotten by everybody, but its cgroup is not empty yet */
        bool held;
        bool timed_out, oom;
        bool killed;            /* cgroup.kill was written, as far as we know */
        int32_t pid, code, status;
        uint64_t started_usec, ended_usec, deadline_usec;
        uint32_t n_keep;
        sd_bus_message *call;   /* Exec(), until it is answered */
        sd_event_source *watch; /* of the cgroup, while it is not empty */
} Command;

/* Takes over nothing; answers call when the command has started, or at once by the error. fds: three for stdio, then the
 * kept ones. */
int command_start(Sandbox *s, const char *id, const CommandSpec *spec, const int *fds, size_t n_fds,
                  sd_bus_message *call, sd_bus_error *error);
/* Init tells of one. */
void command_on_message(Sandbox *s, const InitCommand *message);
/* NULL also for one that was acknowledged. */
Command *command_get(Sandbox *s, const char *id);
unsigned commands_running(Sandbox *s);
/* A signal to everything in the command's cgroup. */
int command_signal_all(Command *c, int signal);
/* Its end was stored by the caller: init forgets it. */
int command_acknowledge(Command *c);
/* After a restart: a cgroup of a command that nobody knows, busy with what it left in the background. */
void command_adopt_cgroup(Sandbox *s, const char *cgroup);
/* After a restart: removes the cgroups of commands that nobody knows any more, and learns the next free number. */
void commands_clean_up(Sandbox *s);
void commands_free(Sandbox *s);

bool command_id_is_valid(const char *id);
/* Packs cwd, argv and env as INIT_EXEC wants them. */
int command_pack_strings(const CommandSpec *spec, char **ret, size_t *ret_size);
