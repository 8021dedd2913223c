/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* Each pair is a link of its own, so all hosts' ends may have one address. */
static const uint8_t host_mac[6] = { 0x06, 0x5b, 0, 0, 0, 1 };

void link_name_egress(const char *id, LinkName ret) {
        snprintf(ret, IFNAMSIZ, LINK_EGRESS "%.*s", (int) LINK_EGRESS_DIGITS, id);
}

void link_name_member(const char *id, unsigned network, LinkName ret) {
        snprintf(ret, IFNAMSIZ, LINK_MEMBER "%02x%.*s", network & 0xffU, (int) LINK_MEMBER_DIGITS, id);
}

static void make_mac(const char *id, uint8_t ret[6]) {
        unsigned digits = 0;

        (void) sscanf(id, "%8x", &digits);
        ret[0] = 0x02; /* locally administered */
        ret[1] = 0x5b;
        for (unsigned i = 0; i < 4; i++)
                ret[2 + i] = (uint8_t) (digits >> (24 - 8 * i));
}

static int put_peer(struct nl_msg *m, const LinkSpec *spec) {
        struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
        uint8_t mac[6];

        make_mac(spec->id, mac);
        if (nlmsg_append(m, &header, sizeof header, NLMSG_ALIGNTO) < 0 ||
            nla_put_string(m, IFLA_IFNAME, spec->inner) < 0 || nla_put(m, IFLA_ADDRESS, sizeof mac, mac) < 0 ||
            nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t) spec->namespace_fd) < 0)
                return -ENOMEM;
        return 0;
}

static int put_pair(struct nl_msg *m, const LinkSpec *spec) {
        struct nlattr *info, *data, *peer;

        info = nla_nest_start(m, IFLA_LINKINFO);
        if (!info || nla_put_string(m, IFLA_INFO_KIND, "veth") < 0)
                return -ENOMEM;
        data = nla_nest_start(m, IFLA_INFO_DATA);
        peer = data ? nla_nest_start(m, VETH_INFO_PEER) : NULL;
        if (!peer || put_peer(m, spec) < 0)
                return -ENOMEM;
        (void) nla_nest_end(m, peer);
        (void) nla_nest_end(m, data);
        (void) nla_nest_end(m, info);
        return 0;
}

/* The other end is born in its namespace: it never is the host's. */
static int create_pair(const LinkSpec *spec) {
        struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

        m = netlink_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);
        if (!m || nla_put_string(m, IFLA_IFNAME, spec->name) < 0 || nla_put_u32(m, IFLA_GROUP, spec->group) < 0 ||
            nla_put(m, IFLA_ADDRESS, sizeof host_mac, host_mac) < 0 || put_pair(m, spec) < 0)
                return -ENOMEM;
        return netlink_send(spec->host, TAKE_PTR(m));
}

static int put_conf(struct nl_msg *m) {
        static const struct { int id; uint32_t value; } rows[] = {
                { IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 },
                { IPV4_DEVCONF_FORWARDING,       1 },
                { IPV4_DEVCONF_RP_FILTER,        1 },
                { IPV4_DEVCONF_SEND_REDIRECTS,   0 },
        };
        struct nlattr *af, *inet, *conf;

        af = nla_nest_start(m, IFLA_AF_SPEC);
        inet = af ? nla_nest_start(m, AF_INET) : NULL;
        conf = inet ? nla_nest_start(m, IFLA_INET_CONF) : NULL;
        if (!conf)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (nla_put_u32(m, rows[i].id, rows[i].value) < 0)
                        return -ENOMEM;
        (void) nla_nest_end(m, conf);
        (void) nla_nest_end(m, inet);
        (void) nla_nest_end(m, af);
        return 0;
}

static int set_up(struct nl_sock *socket, unsigned index, bool ours) {
        struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = (int) index, .ifi_flags = IFF_UP,
                                    .ifi_change = IFF_UP };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

        m = netlink_request(RTM_SETLINK, 0, &header, sizeof header);
        if (!m || (ours && put_conf(m) < 0))
                return -ENOMEM;
        return netlink_send(socket, TAKE_PTR(m));
}

/* No routing socket takes these two. What the host has no IPv6 for is not there to be written. */
static void disable_ipv6(const char *name) {
        static const struct { const char *key, *value; } rows[] = { { "accept_ra", "0" }, { "disable_ipv6", "1" } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char path[96];

                snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/%s", name, rows[i].key);
                (void) write_text_at(AT_FDCWD, path, rows[i].value);
        }
}

int link_make(const LinkSpec *spec, unsigned *ret_host, unsigned *ret_inner) {
        int r;

        r = create_pair(spec);
        if (r == -EEXIST) {
                r = link_remove(spec->host, spec->name);
                if (r >= 0)
                        r = create_pair(spec);
        }
        if (r >= 0)
                r = netlink_find_link(spec->host, spec->name, ret_host);
        if (r >= 0)
                r = netlink_find_link(spec->inside, spec->inner, ret_inner);
        if (r < 0)
                return r;
        disable_ipv6(spec->name);
        r = set_up(spec->host, *ret_host, /* ours= */ true);
        return r < 0 ? r : set_up(spec->inside, *ret_inner, /* ours= */ false);
}

/* The host's end: the sandbox is behind it, with an address of hardware that nobody needs to ask for. */
static int route_to(const LinkSpec *spec, unsigned host, uint32_t address) {
        uint8_t mac[6];
        int r;

        r = netlink_add_route(spec->host, &(RouteSpec) { .address = address, .bits = 32, .index = host,
                                                         .exclusive = true });
        if (r < 0)
                return r;
        make_mac(spec->id, mac);
        return netlink_add_neighbour(spec->host, host, address, mac);
}

int link_route_egress(const LinkSpec *spec, unsigned host, unsigned inner, uint32_t address, uint32_t gateway) {
        int r;

        r = route_to(spec, host, address);
        if (r >= 0)
                r = netlink_add_address(spec->host, host, gateway);
        if (r >= 0)
                r = netlink_add_address(spec->inside, inner, address);
        if (r >= 0)
                r = netlink_add_neighbour(spec->inside, inner, gateway, host_mac);
        if (r >= 0)
                r = netlink_add_route(spec->inside, &(RouteSpec) { .via = gateway, .index = inner });
        return r;
}

int link_route_member(const LinkSpec *spec, unsigned host, unsigned inner, uint32_t address, const Prefix *network) {
        int r;

        r = route_to(spec, host, address);
        if (r >= 0)
                r = netlink_add_address(spec->inside, inner, address);
        if (r >= 0)
                r = netlink_add_neighbour(spec->inside, inner, LINK_NEXT_HOP, host_mac);
        if (r >= 0)
                r = netlink_add_route(spec->inside, &(RouteSpec) { .address = network->address, .bits = network->bits,
                                                                   .via = LINK_NEXT_HOP, .index = inner });
        return r;
}

int link_set_alias(struct nl_sock *host, unsigned index, uint32_t address) {
        struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = (int) index };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
        char text[ADDRESS_TEXT_MAX];

        m = netlink_request(RTM_SETLINK, 0, &header, sizeof header);
        if (!m || nla_put_string(m, IFLA_IFALIAS, address_format(address, text)) < 0)
                return -ENOMEM;
        return netlink_send(host, TAKE_PTR(m));
}

int link_get_alias(struct nl_sock *host, const char *name, uint32_t *ret) {
        struct rtnl_link *link;
        const char *alias;
        int r;

        r = rtnl_link_get_kernel(host, 0, name, &link);
        if (r < 0)
                return netlink_errno(r) == -ENOENT ? -ENODEV : netlink_errno(r);
        alias = rtnl_link_get_ifalias(link);
        r = alias && address_parse(alias, ret) >= 0 ? 0 : -EUCLEAN;
        rtnl_link_put(link);
        return r;
}

int link_remove(struct nl_sock *host, const char *name) {
        struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
        _cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
        int r;

        m = netlink_request(RTM_DELLINK, 0, &header, sizeof header);
        if (!m || nla_put_string(m, IFLA_IFNAME, name) < 0)
                return -ENOMEM;
        r = netlink_send(host, TAKE_PTR(m));
        return r == -ENODEV || r == -ENOENT ? 0 : r;
}

static bool is_ours(const char *name) {
        return name && (startswith(name, LINK_EGRESS) || startswith(name, LINK_MEMBER));
}

int link_foreach(struct nl_sock *host, int (*handler)(const LinkState *link, void *userdata), void *userdata) {
        struct nl_cache *cache;
        int r;

        r = rtnl_link_alloc_cache(host, AF_UNSPEC, &cache);
        if (r < 0)
                return netlink_errno(r);
        for (struct nl_object *o = nl_cache_get_first(cache); r >= 0 && o; o = nl_cache_get_next(o)) {
                struct rtnl_link *link = (struct rtnl_link *) o;
                const char *alias = rtnl_link_get_ifalias(link);
                LinkState state = { .name = rtnl_link_get_name(link),
                                    .received_bytes = rtnl_link_get_stat(link, RTNL_LINK_RX_BYTES),
                                    .sent_bytes = rtnl_link_get_stat(link, RTNL_LINK_TX_BYTES) };

                if (is_ours(state.name) && alias && address_parse(alias, &state.address) >= 0)
                        r = handler(&state, userdata);
        }
        nl_cache_free(cache);
        return r;
}

/* Where a route of somebody else's leads; false: it is none, or everywhere. */
static bool get_foreign(struct rtnl_route *route, Prefix *ret) {
        struct nl_addr *to = rtnl_route_get_dst(route);
        char name[IFNAMSIZ] = "";
        uint32_t address;

        if (!to || nl_addr_get_len(to) != sizeof address || nl_addr_get_prefixlen(to) == 0 ||
            rtnl_route_get_nnexthops(route) == 0)
                return false;
        if (if_indextoname((unsigned) rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, 0)), name) && is_ours(name))
                return false;
        memcpy(&address, nl_addr_get_binary_addr(to), sizeof address);
        *ret = (Prefix) { ntohl(address), nl_addr_get_prefixlen(to) };
        return true;
}

int link_check_range(struct nl_sock *host, const Prefix *range, Prefix *ret) {
        struct nl_cache *cache;
        int r;

        r = rtnl_route_alloc_cache(host, AF_INET, 0, &cache);
        if (r < 0)
                return netlink_errno(r);
        r = 0;
        for (struct nl_object *o = nl_cache_get_first(cache); r >= 0 && o; o = nl_cache_get_next(o)) {
                Prefix p;

                if (get_foreign((struct rtnl_route *) o, &p) && prefixes_overlap(&p, range)) {
                        *ret = p;
                        r = -EADDRINUSE;
                }
        }
        nl_cache_free(cache);
        return r;
}
