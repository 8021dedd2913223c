/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/api.h"

/* What the routes of the proxy share. */

/* The running sandbox and the port that the path names, which its owner has exposed. */
int api_get_proxied(Request *request, Sandbox **ret_sandbox, uint16_t *ret_port, sd_bus_error *error);
int api_check_proxied_method(const char *method, sd_bus_error *error);

/* Two sockets become one connection: bytes go both ways until both sides have ended (api-proxy-socket.c). Takes server
 * over; data is what was read from it already. The reply to the request is 101 with the headers it has. */
int proxy_join_sockets(Request *request, Sandbox *s, int server, const char *data, size_t n);
