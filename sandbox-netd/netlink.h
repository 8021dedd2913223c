/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "libsandbox/macro.h"

/* Requests to the kernel's routing socket: made as messages, sent one at a time, each waits for its answer, which the
 * kernel gives at once. libnl's objects are used for reading only. */

DEFINE_CLEANUP(struct nl_sock *, nl_socket_free)
DEFINE_CLEANUP(struct nl_msg *, nlmsg_free)

/* One of our own network namespace. */
int netlink_open(struct nl_sock **ret);
/* Around a socket of another namespace; fd is duplicated. -EINVAL if it is none of the routing family. */
int netlink_adopt(int fd, struct nl_sock **ret);

/* Of libnl's -NLE_*. */
int netlink_errno(int r);

/* A request with its header, e.g. a struct ifinfomsg. NULL when out of memory. */
struct nl_msg *netlink_request(int type, int flags, const void *header, size_t size);
/* Frees the message. */
int netlink_send(struct nl_sock *socket, struct nl_msg *message);

/* Index of an interface of the socket's namespace. -ENODEV. */
int netlink_find_link(struct nl_sock *socket, const char *name, unsigned *ret);

int netlink_add_address(struct nl_sock *socket, unsigned index, uint32_t address);

typedef struct RouteSpec {
        uint32_t address; /* host's byte order */
        unsigned bits;
        uint32_t via;     /* 0: on the link */
        unsigned index;
        bool exclusive;   /* -EEXIST if there is one already */
} RouteSpec;

int netlink_add_route(struct nl_sock *socket, const RouteSpec *route);
/* So that nobody needs to ask who has it. */
int netlink_add_neighbour(struct nl_sock *socket, unsigned index, uint32_t address, const uint8_t mac[6]);
