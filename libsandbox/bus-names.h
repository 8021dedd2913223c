/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Path, object and interfaces of each service, once. There is no bus daemon: the names are for introspection. */

#define RUN_DIRECTORY "/run/sandboxd"
#define API_SOCKET_PATH RUN_DIRECTORY "/api.sock"
#define EXECD_SOCKET_PATH RUN_DIRECTORY "/execd.sock"
#define FSD_SOCKET_PATH RUN_DIRECTORY "/fsd.sock"
#define HOOK_SOCKET_PATH RUN_DIRECTORY "/hook.sock"
#define NETD_SOCKET_PATH RUN_DIRECTORY "/netd.sock"
#define PINS_SOCKET_PATH RUN_DIRECTORY "/pins.sock"
#define DNS_SOCKET_PATH RUN_DIRECTORY "/dns.sock"
/* One file a sandbox with its deadline, see due.h. */
#define DUE_DIRECTORY RUN_DIRECTORY "/due"
/* sandbox-execd's own records and the sockets of the inits, 0700. */
#define EXECD_STATE_DIRECTORY RUN_DIRECTORY "/execd"

#define EXEC_OBJECT "/io/sandboxd/Exec1"
#define EXEC_INTERFACE "io.sandboxd.Exec1"
#define FSD_OBJECT "/io/sandboxd/Files1"
#define FILES_INTERFACE "io.sandboxd.Files1"
#define IMAGES_INTERFACE "io.sandboxd.Images1"
#define SNAPSHOTS_INTERFACE "io.sandboxd.Snapshots1"
#define VOLUMES_INTERFACE "io.sandboxd.Volumes1"
#define HOOK_OBJECT "/io/sandboxd/Hook1"
#define HOOK_INTERFACE "io.sandboxd.Hook1"
#define NET_OBJECT "/io/sandboxd/Net1"
#define NET_INTERFACE "io.sandboxd.Net1"
#define PINS_OBJECT "/io/sandboxd/Pins1"
#define PINS_INTERFACE "io.sandboxd.Pins1"
#define DNS_OBJECT "/io/sandboxd/Dns1"
#define DNS_INTERFACE "io.sandboxd.Dns1"
