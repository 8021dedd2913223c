/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-hook/destination.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* One form for both families: 16 bytes, the older addresses as ::ffff:a.b.c.d. A table of networks then is enough, and
 * an address that hides an older one in a newer cannot slip through a table of the other family. */

#define MAPPED_BITS 96U

typedef struct Network {
        uint8_t bytes[16];
        unsigned bits;
} Network;

struct DestinationRules {
        Network *networks;
        size_t n_networks;
        char **names;
};

/* RFC 6890 and its successors: what is not one host of the public internet. */
static const char *const refused[] = {
        "0.0.0.0/8",       /* this network */
        "10.0.0.0/8",      /* private */
        "100.64.0.0/10",   /* between a provider and its customers */
        "127.0.0.0/8",     /* loopback */
        "169.254.0.0/16",  /* link-local; where clouds serve their machines' credentials */
        "172.16.0.0/12",   /* private */
        "192.0.0.0/24",    /* assignments of protocols */
        "192.0.2.0/24",    /* documentation */
        "192.88.99.0/24",  /* relays of 6to4 */
        "192.168.0.0/16",  /* private */
        "198.18.0.0/15",   /* benchmarks */
        "198.51.100.0/24", /* documentation */
        "203.0.113.0/24",  /* documentation */
        "224.0.0.0/4",     /* multicast */
        "240.0.0.0/4",     /* reserved, broadcast */
        "2001::/23",       /* assignments of protocols, Teredo among them */
        "2001:db8::/32",   /* documentation */
        "2002::/16",       /* 6to4: an older address inside */
};

/* Of the newer family nothing else is given to hosts yet. */
#define GLOBAL_UNICAST "2000::/3"

static int parse_address(const char *text, uint8_t ret[16], bool *ret_old) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        *ret_old = inet_pton(AF_INET, text, ret + 12) == 1;
        if (*ret_old) {
                memcpy(ret, mapped, sizeof mapped);
                return 0;
        }
        return inet_pton(AF_INET6, text, ret) == 1 ? 0 : -EINVAL;
}

static int parse_network(const char *text, Network *ret) {
        const char *slash = strchr(text, '/');
        Network n = { .bits = 128 };
        char address[64];
        uint32_t bits;
        bool old;
        int r;

        if ((size_t) snprintf(address, sizeof address, "%.*s", (int) (slash ? slash - text : (ptrdiff_t) strlen(text)),
                              text) >= sizeof address)
                return -EINVAL;
        r = parse_address(address, n.bytes, &old);
        if (r < 0)
                return r;
        if (slash) {
                r = parse_u32(slash + 1, &bits);
                if (r < 0 || bits > (old ? 32U : 128U))
                        return -EINVAL;
                n.bits = bits + (old ? MAPPED_BITS : 0);
        }
        *ret = n;
        return 0;
}

static bool network_contains(const Network *n, const uint8_t address[16]) {
        unsigned whole = n->bits / 8, rest = n->bits % 8;

        if (memcmp(n->bytes, address, whole) != 0)
                return false;
        return rest == 0 || (n->bytes[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static bool text_contains(const char *network, const uint8_t address[16]) {
        Network n;

        return parse_network(network, &n) >= 0 && network_contains(&n, address);
}

/* Where only the newer family is routed, the older one is reached by 64:ff9b::/96 (RFC 6052): what counts is inside. */
static int get_bytes(const struct sockaddr *a, uint8_t ret[16]) {
        static const Network translated = { { 0x00, 0x64, 0xff, 0x9b }, 96 };

        memset(ret, 0, 16);
        if (a->sa_family == AF_INET) {
                ret[10] = ret[11] = 0xff;
                memcpy(ret + 12, &((const struct sockaddr_in *) a)->sin_addr, 4);
                return 0;
        }
        if (a->sa_family != AF_INET6)
                return -EAFNOSUPPORT;
        memcpy(ret, &((const struct sockaddr_in6 *) a)->sin6_addr, 16);
        if (network_contains(&translated, ret)) {
                memset(ret, 0, 12);
                ret[10] = ret[11] = 0xff;
        }
        return 0;
}

static bool is_public(const uint8_t address[16]) {
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                if (text_contains(refused[i], address))
                        return false;
        return text_contains("::ffff:0:0/96", address) || text_contains(GLOBAL_UNICAST, address);
}

/* Letters, digits, hyphens and dots; at least one that no number has, lest a slip in an address makes it a name. */
static bool name_is_valid(const char *s) {
        bool letter = false;

        for (const char *p = s; *p; p++) {
                letter |= (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z';
                if (!((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') && !(*p >= '0' && *p <= '9') && *p != '-' && *p != '.')
                        return false;
        }
        return letter;
}

static int add_rule(DestinationRules *rules, const char *word) {
        Network *larger, n;

        if (parse_network(word, &n) < 0)
                return name_is_valid(word) ? strv_extend(&rules->names, word) : -EINVAL;
        larger = reallocarray(rules->networks, rules->n_networks + 1, sizeof(Network));
        if (!larger)
                return -ENOMEM;
        rules->networks = larger;
        rules->networks[rules->n_networks++] = n;
        return 0;
}

int destination_rules_new(const char *list, DestinationRules **ret) {
        _cleanup_(destination_rules_freep) DestinationRules *rules = new0(DestinationRules, 1);
        _cleanup_free_ char *copy = strdup(list ?: "");
        char *rest = copy, *word;
        int r;

        if (!rules || !copy)
                return -ENOMEM;
        while ((word = strsep(&rest, ","))) {
                word = strstrip(word);
                if (isempty(word))
                        continue;
                r = add_rule(rules, word);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(rules);
        return 0;
}

DestinationRules *destination_rules_free(DestinationRules *rules) {
        if (rules) {
                free(rules->networks);
                strv_free(rules->names);
                free(rules);
        }
        return NULL;
}

bool destination_is_allowed(const DestinationRules *rules, const char *host, const struct sockaddr *address) {
        uint8_t bytes[16];

        STRV_FOREACH(name, rules->names)
                if (host && strcasecmp(*name, host) == 0)
                        return true;
        if (get_bytes(address, bytes) < 0)
                return false;
        for (size_t i = 0; i < rules->n_networks; i++)
                if (network_contains(rules->networks + i, bytes))
                        return true;
        return is_public(bytes);
}
