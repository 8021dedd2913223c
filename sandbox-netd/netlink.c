/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/route/link.h>
#include <unistd.h>

int netlink_errno(int r) {
        static const struct { int nle, value; } rows[] = {
                { NLE_AGAIN,         EAGAIN        },
                { NLE_EXIST,         EEXIST        },
                { NLE_INVAL,         EINVAL        },
                { NLE_NOADDR,        EADDRNOTAVAIL },
                { NLE_NODEV,         ENODEV        },
                { NLE_NOMEM,         ENOMEM        },
                { NLE_OBJ_NOTFOUND,  ENOENT        },
                { NLE_OPNOTSUPP,     EOPNOTSUPP    },
                { NLE_PERM,          EPERM         },
                { NLE_RANGE,         ERANGE        },
        };

        for (size_t i = 0; r < 0 && i < ELEMENTSOF(rows); i++)
                if (-r == rows[i].nle)
                        return -rows[i].value;
        return r < 0 ? -EIO : r;
}

int netlink_open(struct nl_sock **ret) {
        _cleanup_(nl_socket_freep) struct nl_sock *s = nl_socket_alloc();
        int r;

        if (!s)
                return -ENOMEM;
        r = nl_connect(s, NETLINK_ROUTE);
        if (r < 0)
                return netlink_errno(r);
        *ret = TAKE_PTR(s);
        return 0;
}

int netlink_adopt(int fd, struct nl_sock **ret) {
        _cleanup_(nl_socket_freep) struct nl_sock *s = nl_socket_alloc();
        int copy;

        if (!s)
                return -ENOMEM;
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return -errno;
        if (nl_socket_set_fd(s, NETLINK_ROUTE, copy) < 0) {
                (void) close(copy);
                return -EINVAL;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

struct nl_msg *netlink_request(int type, int flags, const void *header, size_t size) {
        _cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_simple(type, flags);

        if (!m || nlmsg_append(m, (void *) header, size, NLMSG_ALIGNTO) < 0)
                return NULL;
        return TAKE_PTR(m);
}

int netlink_send(struct nl_sock *socket, struct nl_msg *message) {
        return netlink_errno(nl_send_sync(socket, message));
}

int netlink_find_link(struct nl_sock *socket, const char *name, unsigned *ret) {
        struct rtnl_link *link;
        int r;

        r = rtnl_link_get_kernel(socket, 0, name, &link);
        if (r < 0)
                return r == -NLE_OBJ_NOTFOUND ? -ENODEV : netlink_errno(r);
        *ret = (unsigned) rtnl_link_get_ifindex(link);
        rtnl_link_put(link);
        return 0;
}

static int put_address(struct nl_msg *m, int attribute, uint32_t address) {
        return nla_put_u32(m, attribute, htonl(address));
}

int netlink_add_address(struct nl_sock *socket, unsigned index, uint32_t address) {
        struct ifaddrmsg header = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_scope = RT_SCOPE_UNIVERSE,
                                    .ifa_index = index };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

        m = netlink_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof header);
        if (!m || put_address(m, IFA_LOCAL, address) < 0 || put_address(m, IFA_ADDRESS, address) < 0)
                return -ENOMEM;
        return netlink_send(socket, TAKE_PTR(m));
}

int netlink_add_route(struct nl_sock *socket, const RouteSpec *route) {
        struct rtmsg header = { .rtm_family = AF_INET, .rtm_dst_len = (unsigned char) route->bits,
                                .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC, .rtm_type = RTN_UNICAST,
                                .rtm_scope = route->via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                                .rtm_flags = route->via ? RTNH_F_ONLINK : 0 };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

        m = netlink_request(RTM_NEWROUTE, NLM_F_CREATE | (route->exclusive ? NLM_F_EXCL : NLM_F_REPLACE), &header,
                            sizeof header);
        if (!m || (route->bits > 0 && put_address(m, RTA_DST, route->address) < 0) ||
            (route->via && put_address(m, RTA_GATEWAY, route->via) < 0) || nla_put_u32(m, RTA_OIF, route->index) < 0)
                return -ENOMEM;
        return netlink_send(socket, TAKE_PTR(m));
}

int netlink_add_neighbour(struct nl_sock *socket, unsigned index, uint32_t address, const uint8_t mac[6]) {
        struct ndmsg header = { .ndm_family = AF_INET, .ndm_ifindex = (int) index, .ndm_state = NUD_PERMANENT };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

        m = netlink_request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof header);
        if (!m || put_address(m, NDA_DST, address) < 0 || nla_put(m, NDA_LLADDR, 6, mac) < 0)
                return -ENOMEM;
        return netlink_send(socket, TAKE_PTR(m));
}
