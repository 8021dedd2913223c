/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/doctor-checks.h"

/* What sandboxes with a network need of the host, asked of the kernel itself: nft need not be installed. */

#define OUR_TABLE "sandboxd"
#define REPLY_MAX (64 * KiB)

void doctor_check_forwarding(DoctorResult *r) {
        _cleanup_free_ char *text = NULL;

        if (read_text_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &text) < 0)
                return doctor_set(r, DOCTOR_WARN, "cannot be read");
        doctor_set(r, streq(text, "0") ? DOCTOR_WARN : DOCTOR_OK, "net.ipv4.ip_forward is %.8s", text);
}

static int open_filter(uint16_t type) {
        struct {
                struct nlmsghdr head;
                struct nfgenmsg generic;
        } request = {
                .head = { .nlmsg_len = sizeof request, .nlmsg_type = (uint16_t) (NFNL_SUBSYS_NFTABLES << 8 | type),
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                .generic = { .nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0 },
        };
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

        if (fd < 0)
                return -errno;
        if (send(fd, &request, sizeof request, 0) < 0) {
                int r = -errno;

                safe_close(fd);
                return r;
        }
        return fd;
}

/* Calls handler for each message of the answer, until it returns something else than 0. */
static int read_filter(uint16_t type, int (*handler)(const struct nlmsghdr *m, void *userdata), void *userdata) {
        _cleanup_close_ int fd = open_filter(type);
        _cleanup_free_ char *buffer = malloc(REPLY_MAX);

        if (fd < 0 || !buffer)
                return fd < 0 ? fd : -ENOMEM;
        for (;;) {
                ssize_t n = recv(fd, buffer, REPLY_MAX, 0);
                const struct nlmsghdr *m = (const struct nlmsghdr *) buffer;

                if (n < 0)
                        return -errno;
                for (unsigned left = (unsigned) n; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
                        int r;

                        if (m->nlmsg_type == NLMSG_DONE)
                                return 0;
                        if (m->nlmsg_type == NLMSG_ERROR)
                                return ((const struct nlmsgerr *) NLMSG_DATA(m))->error;
                        r = handler(m, userdata);
                        if (r != 0)
                                return r;
                }
        }
}

static const struct nlattr *find_attribute(const void *data, size_t n, unsigned type) {
        const char *at = data;

        while (n >= sizeof(struct nlattr)) {
                const struct nlattr *a = (const struct nlattr *) at;
                size_t size = NLA_ALIGN(a->nla_len);

                if (a->nla_len < sizeof *a || a->nla_len > n)
                        return NULL;
                if ((a->nla_type & NLA_TYPE_MASK) == type)
                        return a;
                if (size >= n)
                        return NULL;
                at += size;
                n -= size;
        }
        return NULL;
}

static const void *attribute_data(const struct nlattr *a) {
        return (const char *) a + sizeof *a;
}

static uint32_t attribute_u32(const struct nlattr *a) {
        uint32_t value = UINT32_MAX;

        if (a && a->nla_len >= sizeof *a + sizeof value)
                memcpy(&value, attribute_data(a), sizeof value);
        return ntohl(value);
}

static const char *attribute_text(const struct nlattr *a) {
        if (!a || a->nla_len <= sizeof *a || memchr(attribute_data(a), 0, a->nla_len - sizeof *a) == NULL)
                return "";
        return attribute_data(a);
}

bool doctor_drops_forwarded(const void *attributes, size_t n, char *ret, size_t size) {
        const struct nlattr *hook = find_attribute(attributes, n, NFTA_CHAIN_HOOK);
        const struct nlattr *policy = find_attribute(attributes, n, NFTA_CHAIN_POLICY), *number;
        const char *table = attribute_text(find_attribute(attributes, n, NFTA_CHAIN_TABLE));

        if (!hook || !policy || streq(table, OUR_TABLE) || attribute_u32(policy) != NF_DROP)
                return false;
        number = find_attribute(attribute_data(hook), hook->nla_len - sizeof *hook, NFTA_HOOK_HOOKNUM);
        if (attribute_u32(number) != NF_INET_FORWARD)
                return false;
        (void) snprintf(ret, size, "%.40s %.40s", table,
                        attribute_text(find_attribute(attributes, n, NFTA_CHAIN_NAME)));
        return true;
}

static int on_chain(const struct nlmsghdr *m, void *userdata) {
        const char *data = (const char *) NLMSG_DATA(m) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
        size_t head = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct nfgenmsg)));

        return m->nlmsg_len > head && doctor_drops_forwarded(data, m->nlmsg_len - head, userdata, 96);
}

static int ignore(const struct nlmsghdr *m, void *userdata) {
        (void) m;
        (void) userdata;
        return 0;
}

void doctor_check_packet_filter(DoctorResult *r) {
        int e = read_filter(NFT_MSG_GETTABLE, ignore, NULL);

        if (e == -EPERM || e == -EACCES)
                return doctor_set(r, DOCTOR_WARN, "run as root to check");
        doctor_set(r, e < 0 ? DOCTOR_WARN : DOCTOR_OK, "%s", e < 0 ? strerror(-e) : "nf_tables");
}

void doctor_check_forward_policy(DoctorResult *r) {
        char chain[96] = "";
        int e = read_filter(NFT_MSG_GETCHAIN, on_chain, chain);

        if (e == -EPERM || e == -EACCES)
                return doctor_set(r, DOCTOR_WARN, "run as root to check");
        if (e < 0)
                return doctor_set(r, DOCTOR_WARN, "%s", strerror(-e));
        doctor_set(r, e > 0 ? DOCTOR_WARN : DOCTOR_OK, e > 0 ? "%s drops what is forwarded" : "%snobody drops what is forwarded",
                   chain);
}

/* Not those that are not there at all: whoever builds without sandbox-netd has none of them. */
void doctor_check_network_sockets(DoctorResult *r) {
        static const char *const paths[] = { NETD_SOCKET_PATH, PINS_SOCKET_PATH, DNS_SOCKET_PATH };

        if (access(PKGLIBDIR "/sandbox-netd", F_OK) < 0)
                return doctor_set(r, DOCTOR_OK, "networks are not installed");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                if (access(paths[i], F_OK) < 0)
                        return doctor_set(r, DOCTOR_WARN, "no %s", paths[i]);
        doctor_set(r, DOCTOR_OK, "three of them");
}

/* The first of a resolv.conf, or what the setting says. */
static bool find_server(struct sockaddr_in *ret) {
        _cleanup_(settings_done) Settings s = {};
        _cleanup_free_ char *text = NULL;
        char address[64];

        *ret = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons(53) };
        if (settings_load(&s) >= 0 && !isempty(s.network_dns))
                return inet_pton(AF_INET, s.network_dns, &ret->sin_addr) == 1;
        if (read_text_at(AT_FDCWD, "/etc/resolv.conf", DOCTOR_FILE_MAX, &text) < 0)
                return false;
        for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (sscanf(line, "nameserver %63s", address) == 1 && inet_pton(AF_INET, address, &ret->sin_addr) == 1)
                        return true;
        return false;
}

/* The name servers of the root: every one can answer that, if only by an error. */
static int ask_server(const struct sockaddr_in *server) {
        static const uint8_t question[] = { 0x5b, 0x5b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1 };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        uint8_t answer[512];

        if (fd < 0 || connect(fd, (const struct sockaddr *) server, sizeof *server) < 0 ||
            send(fd, question, sizeof question, 0) < 0)
                return -errno;
        if (poll(&p, 1, 2000) <= 0)
                return -ETIMEDOUT;
        return recv(fd, answer, sizeof answer, 0) < 0 ? -errno : 0;
}

void doctor_check_resolver(DoctorResult *r) {
        char text[INET_ADDRSTRLEN];
        struct sockaddr_in server;
        int e;

        if (!find_server(&server))
                return doctor_set(r, DOCTOR_WARN, "none is configured");
        (void) inet_ntop(AF_INET, &server.sin_addr, text, sizeof text);
        e = ask_server(&server);
        doctor_set(r, e < 0 ? DOCTOR_WARN : DOCTOR_OK, e < 0 ? "%s: %s" : "%s", text, strerror(-e));
}
