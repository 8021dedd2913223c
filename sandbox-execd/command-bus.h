/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/command.h"
#include "sandbox-execd/init-client.h"
#include "sandbox-execd/manager.h"

/* Between a Command and the bus. */
void command_reply_started(Command *c);
/* reply may be NULL: init is gone. */
void command_reply_failed(Command *c, int error, const InitReply *reply);
void command_emit_exited(Command *c);

/* Of command-send.c: the message to init. */
int command_send(Command *c, const CommandSpec *spec, const int *fds, size_t n_fds, int cgroup_fd,
                 InitReplyHandler handler);

int method_exec(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_signal(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_acknowledge(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_commands(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_attach(sd_bus_message *message, void *userdata, sd_bus_error *error);
int method_kill_process(sd_bus_message *message, void *userdata, sd_bus_error *error);
