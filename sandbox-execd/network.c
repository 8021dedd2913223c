/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/sandbox-steps.h"

/* Networks are sandbox-netd's, which has CAP_NET_ADMIN and nothing else, so it cannot enter a namespace. It need not: the
 * kernel asks who opened a routing socket and who sends on it, wherever the sender is. We own the sandbox's user
 * namespace and with it its network; so we open one in there and hand it out. To anybody without CAP_NET_ADMIN it is
 * worth as little as one of his own. */

typedef struct NetworkCall {
        sd_bus_message *message;
        Manager *manager;
        SandboxId id;
} NetworkCall;

static NetworkCall *network_call_free(NetworkCall *c) {
        if (c) {
                sd_bus_message_unref(c->message);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(NetworkCall *, network_call_free)

/* All others are made in this process, too: one that cannot come back must not go on. */
int network_make_socket(int namespace_fd, int family, int type, int protocol) {
        _cleanup_close_ int home = -EBADF;
        int fd;

        home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (home < 0)
                return -errno;
        if (setns(namespace_fd, CLONE_NEWNET) < 0)
                return -errno;
        fd = socket(family, type | SOCK_CLOEXEC, protocol);
        if (fd < 0)
                fd = -errno;
        if (setns(home, CLONE_NEWNET) < 0) {
                log_error_errno(errno, "Failed to leave the network of a sandbox, ending: %m");
                abort();
        }
        return fd;
}

static int open_netlink(int namespace_fd) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        _cleanup_close_ int fd = -EBADF;

        fd = network_make_socket(namespace_fd, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
        if (fd < 0)
                return fd;
        if (bind(fd, (const struct sockaddr *) &address, sizeof address) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int reply_handles(sd_bus_message *message, const Sandbox *s, sd_bus_error *error) {
        _cleanup_close_ int namespace = -EBADF, netlink = -EBADF;
        char path[64];

        snprintf(path, sizeof path, "/proc/%i/ns/net", s->pid);
        namespace = open(path, O_RDONLY | O_CLOEXEC);
        if (namespace < 0)
                return method_error(error, -errno, "open the network namespace");
        netlink = open_netlink(namespace);
        if (netlink < 0)
                return method_error(error, netlink, "open a socket in the network namespace");
        return sd_bus_reply_method_return(message, "hh", namespace, netlink);
}

static int append_network(sd_bus_message *m, void *userdata) {
        return scope_append_network(m, &((NetworkCall *) userdata)->manager->settings);
}

static void on_opened(int r, const char *details, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(network_call_freep) NetworkCall *call = userdata;
        Sandbox *s = manager_get(call->manager, call->id.digits);

        if (!s || s->state != SANDBOX_LIVE)
                r = bus_error_set(&error, BUS_ERROR_NO_SUCH_SANDBOX, "The sandbox has ended.");
        else if (r < 0)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "systemd refused the network: %s.", details ?: "?");
        else {
                s->network = true;
                r = reply_handles(call->message, s, &error);
        }
        if (r < 0)
                (void) sd_bus_reply_method_error(call->message, &error);
}

/* What the scope forbids is lifted first, once. */
int method_open_network(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        SystemdRequestOptions options = { .action = SYSTEMD_SET_PROPERTIES, .append_properties = append_network,
                                          .on_done = on_opened };
        _cleanup_(network_call_freep) NetworkCall *call = NULL;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        if (s->network)
                return reply_handles(message, s, error);
        call = new0(NetworkCall, 1);
        if (!call)
                return -ENOMEM;
        *call = (NetworkCall) { sd_bus_message_ref(message), userdata, s->record.id };
        options.unit = s->scope;
        options.userdata = call;
        r = systemd_client_request(s->manager->systemd, &options, NULL);
        if (r < 0)
                return method_error(error, r, "ask for the network");
        TAKE_PTR(call);
        return 1;
}
