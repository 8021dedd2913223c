/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* A socket of the network namespace, for whoever gets the descriptor. type without SOCK_CLOEXEC, which it has. */
int network_make_socket(int namespace_fd, int family, int type, int protocol);

int method_open_network(sd_bus_message *message, void *userdata, sd_bus_error *error);
