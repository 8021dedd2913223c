/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/manager.h"

/* Users' networks: sandboxes that are members of one reach each other, by address and by name, and nobody else does. What
 * should be stands in the records; what is, the kernel knows: a member is written down before its wire is laid and
 * struck out after it was cut, so that whatever a crash leaves in between is put right by doing it again.
 *
 * A network has a number, of 256, which is its place in SANDBOX_NETWORK_PRIVATE; a member has one in its network. */

#define NETWORK_KIND "network"
#define NETWORK_NAME_MAX 128U
#define NETWORKS_MAX 256U
#define NETWORK_MEMBERS_MAX 253U

typedef struct Networks Networks;
typedef struct Network Network;

int networks_new(Manager *m, Networks **ret);
Networks *networks_free(Networks *n);
DEFINE_CLEANUP(Networks *, networks_free)

/* -EEXIST: the name is taken; -E2BIG: there are too many. */
int network_add(Networks *n, const char *name, Network **ret);
/* NULL: there is none, or it is being removed. */
Network *network_find(Networks *n, const char *id);
json_t *network_to_json(const Network *network);
json_t *networks_to_json(Networks *n);

/* error NULL: done. */
typedef void (*NetworkCallback)(const sd_bus_error *error, void *userdata);

/* -EEXIST: it is a member; -E2BIG: the network is full. */
int network_connect(Network *network, Sandbox *s, NetworkCallback callback, void *userdata);
/* -ENOENT: it is no member. */
int network_disconnect(Network *network, Sandbox *s, NetworkCallback callback, void *userdata);
/* Cuts all wires, then forgets it. */
int network_remove(Network *network, NetworkCallback callback, void *userdata);

/* The sandbox is gone, and its wires with it. */
void networks_forget_sandbox(Networks *n, Sandbox *s);
/* Before the next: that process was killed while it made this one, which may lack its wire, or what comes with it. */
void networks_suspect(Networks *n, Sandbox *s);
/* Wires that an earlier process did not finish. */
void networks_start(Networks *n);

/* The lines for /etc/hosts of a member. */
void networks_write_hosts(Networks *n, const Sandbox *s, FILE *f);

/* A connection to the outside, made when the sandbox is, with the list that its config has: like wire_attach(), but
 * looked after should we be killed. */
int network_attach(Networks *n, Sandbox *s, NetworkCallback callback, void *userdata);
/* What it may reach, see egress.h; NULL: everything. What callback says is in force, its config is for the caller. */
int network_restrict(Networks *n, Sandbox *s, const json_t *list, NetworkCallback callback, void *userdata);
