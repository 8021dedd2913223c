/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/firewall.h"

#include <errno.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "sandbox-netd/link.h"

/* What a sandbox's packet meets:
 *   incoming  its source must be what the host routes back over the same wire, so nobody sends in another's name;
 *             there is no IPv6
 *   input     nothing on the host answers but the resolver, through the gateway's address
 *   outward   no other sandbox, no address that only the host's own networks know; the rest of the world
 *   forward   answers come back; members of one network reach each other and nobody else
 *
 * And that of one that may not reach all of the world (its address is in "restricted"):
 *   listed    each packet, also of a connection that stands: who is taken off the list is cut off. A connection to an
 *             address that a name had (pinned) carries the mark of its entry, and ends with the entry (current), not
 *             with the address: that one goes when the name's time is over
 *   answered  the same for what comes back
 *   deny      remembers for a while what was refused, of each sandbox not more than so much
 *
 * Who replaces all tables of a host (a restart of nftables.service does) takes ours away, too: it is made again with the
 * next sandbox. The chain "version" tells by its name which rules these are; nothing ever jumps there. */

struct Firewall {
        struct nft_ctx *nft;
};

#define REJECT "reject with icmpx type admin-prohibited\n"
#define WITH_PORTS "meta l4proto { tcp, udp } "
#define TO_DNS WITH_PORTS "th dport 53 "
/* EGRESS_RESOLVER_ADDRESS and _PORT */
#define OURS "169.254.1.53:1053"
#define TO_OURS "ip daddr 169.254.1.53 " WITH_PORTS "th dport 1053 "

/* Either end of a wire has its network's group; only equals may meet. */
static void write_same(FILE *f, const Prefix *private) {
        uint32_t n = UINT32_C(1) << (NETWORK_BITS - MIN(private->bits, NETWORK_BITS));

        fputs("set same {\ntypeof meta iifgroup . meta oifgroup\nelements = { ", f);
        for (uint32_t i = 0; i < MIN(n, 256U); i++)
                fprintf(f, "%s%u . %u", i ? ", " : "", LINK_GROUP_MEMBER + i, LINK_GROUP_MEMBER + i);
        fputs(" }\n}\n", f);
}

static void write_prefixes(FILE *f, const char *name, const Prefix *prefixes, size_t n) {
        char text[PREFIX_TEXT_MAX];

        fprintf(f, "set %s {\ntype ipv4_addr; flags interval; auto-merge\n", name);
        for (size_t i = 0; i < n; i++)
                fprintf(f, "%s%s", i ? ", " : "elements = { ", prefix_format(prefixes + i, text));
        fputs(n > 0 ? " }\n}\n" : "}\n", f);
}

/* Elements come and go with the lists: sandbox, destination, port. */
static void write_list_sets(FILE *f) {
        static const struct { const char *name, *type; } rows[] = {
                { "set accepted",     "ipv4_addr; counter"                                                          },
                { "set current",      "ipv4_addr . mark"                                                            },
                { "set denied",       "ipv4_addr . ipv4_addr . inet_proto . inet_service; "
                                      "flags dynamic,timeout; timeout 10m; size 65535; counter"                     },
                { "set named",        "ipv4_addr"                                                                   },
                { "set noisy",        "ipv4_addr; flags dynamic,timeout; timeout 10m; size 65535"                   },
                { "map pinned",       "ipv4_addr . ipv4_addr : mark; flags timeout"                                 },
                { "map pinned_ports", "ipv4_addr . ipv4_addr . inet_service : mark; flags timeout"                  },
                { "set prefix_ports", "ipv4_addr . ipv4_addr . inet_service; flags interval"                        },
                { "set prefixes",     "ipv4_addr . ipv4_addr; flags interval"                                       },
                { "set refused",      "ipv4_addr; counter"                                                          },
                { "set restricted",   "ipv4_addr"                                                                   },
                { "set unlogged",     "ipv4_addr . ipv4_addr . inet_proto . inet_service; "
                                      "flags dynamic,timeout; timeout 1h; size 65535"                               },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                fprintf(f, "%s {\ntype %s;\n}\n", rows[i].name, rows[i].type);
}

static void write_sets(FILE *f, const FirewallSpec *spec) {
        write_prefixes(f, "guarded", guarded_prefixes, n_guarded_prefixes);
        write_prefixes(f, "allowed", spec->allowed, spec->n_allowed);
        write_same(f, &spec->private);
        write_list_sets(f);
}

static void write_lists(FILE *f) {
        fputs("chain record {\n"
              "update @denied { ip saddr . ip daddr . meta l4proto . th dport }\n"
              "add @unlogged { ip saddr . ip daddr . meta l4proto . th dport }\n}\n"
              "chain deny {\nip saddr @refused\n"
              "ip saddr @restricted update @noisy { ip saddr limit rate 5/second burst 100 packets } jump record\n"
              "ct state established meta l4proto tcp reject with tcp reset\n" REJECT "}\n", f);

        fputs("chain pass {\nct state new ip saddr @accepted accept\naccept\n}\n"
              "chain listed {\n"
              "ip saddr @named " WITH_PORTS "th dport { 53, 853 } goto deny\n"
              "ip saddr . ct mark @current accept\n"
              "ip saddr . ip daddr @prefixes goto pass\n"
              WITH_PORTS "ip saddr . ip daddr . th dport @prefix_ports goto pass\n"
              "ct mark set ip saddr . ip daddr map @pinned\nip saddr . ct mark @current goto pass\n"
              WITH_PORTS "ct mark set ip saddr . ip daddr . th dport map @pinned_ports\nip saddr . ct mark @current goto pass\n"
              "goto deny\n}\n", f);

        fputs("chain answered {\nct state != { established, related } drop\n"
              "ct state related meta l4proto icmp accept\n"
              "ip daddr . ct mark @current accept\n"
              "ip daddr . ip saddr @prefixes accept\n"
              WITH_PORTS "ip daddr . ip saddr . th sport @prefix_ports accept\n"
              "meta l4proto tcp reject with tcp reset\ndrop\n}\n", f);
}

static void write_filters(FILE *f, const char *resolver) {
        fputs("chain incoming {\nmeta nfproto != ipv4 drop\nfib saddr . iif oif missing drop\n}\n"
              "chain prerouting {\ntype filter hook prerouting priority -300; policy accept;\n"
              "iifname \"" LINK_EGRESS "*\" jump incoming\niifname \"" LINK_MEMBER "*\" jump incoming\n}\n", f);

        fputs("chain input {\ntype filter hook input priority -10; policy accept;\n"
              "iifname \"" LINK_EGRESS "*\" ip saddr @restricted ct status dnat " TO_OURS "accept\n"
              "iifname \"" LINK_EGRESS "*\" ip saddr != @restricted ct status dnat " TO_DNS "accept\n"
              "iifname \"" LINK_EGRESS "*\" " REJECT
              "iifname \"" LINK_MEMBER "*\" drop\n}\n", f);

        fputs("chain outward {\noifname \"" LINK_EGRESS "*\" goto deny\noifname \"" LINK_MEMBER "*\" goto deny\n", f);
        if (resolver)
                fprintf(f, "ip saddr != @restricted ct status dnat ip daddr %s " TO_DNS "accept\n", resolver);
        fputs("ip daddr @guarded ip daddr != @allowed goto deny\nip saddr @restricted goto listed\n}\n", f);

        fputs("chain forward {\ntype filter hook forward priority -10; policy accept;\n"
              "iifname \"" LINK_EGRESS "*\" goto outward\n"
              "oifname \"" LINK_EGRESS "*\" ip daddr @restricted goto answered\n"
              "oifname \"" LINK_EGRESS "*\" ct state established,related accept\n"
              "oifname \"" LINK_EGRESS "*\" drop\n"
              "iifgroup . oifgroup @same accept\n"
              "iifname \"" LINK_MEMBER "*\" drop\noifname \"" LINK_MEMBER "*\" drop\n}\n", f);
}

static void write_translations(FILE *f, const Prefix *range, const char *resolver) {
        char prefix[PREFIX_TEXT_MAX], gateway[ADDRESS_TEXT_MAX];

        (void) address_format(range_gateway(range), gateway);
        fprintf(f, "chain names {\ntype nat hook prerouting priority -100; policy accept;\n"
                   "iifname \"" LINK_EGRESS "*\" ip saddr @restricted ip daddr %s " TO_DNS "dnat ip to " OURS "\n", gateway);
        if (resolver)
                fprintf(f, "iifname \"" LINK_EGRESS "*\" ip daddr %s " TO_DNS "dnat ip to %s\n", gateway, resolver);
        fprintf(f, "}\nchain leaving {\ntype nat hook postrouting priority 100; policy accept;\n"
                   "ip saddr %s oifname != \"sb*\" masquerade\n}\n", prefix_format(range, prefix));
}

int firewall_format(const FirewallSpec *spec, char **ret) {
        char resolver[ADDRESS_TEXT_MAX], *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        if (spec->resolver)
                (void) address_format(spec->resolver, resolver);
        write_sets(f, spec);
        write_lists(f);
        write_filters(f, spec->resolver ? resolver : NULL);
        write_translations(f, &spec->range, spec->resolver ? resolver : NULL);
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

int firewall_new(Firewall **ret) {
        _cleanup_(firewall_freep) Firewall *f = new0(Firewall, 1);

        if (!f)
                return -ENOMEM;
        f->nft = nft_ctx_new(NFT_CTX_DEFAULT);
        if (!f->nft || nft_ctx_buffer_output(f->nft) < 0 || nft_ctx_buffer_error(f->nft) < 0)
                return -ENOMEM;
        nft_ctx_output_set_flags(f->nft, NFT_CTX_OUTPUT_NUMERIC_ALL);
        *ret = TAKE_PTR(f);
        return 0;
}

Firewall *firewall_free(Firewall *f) {
        if (f) {
                if (f->nft)
                        nft_ctx_free(f->nft);
                free(f);
        }
        return NULL;
}

static uint64_t hash(const char *text) {
        uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (; *text; text++)
                h = (h ^ (uint8_t) *text) * UINT64_C(0x100000001b3);
        return h;
}

static int run(Firewall *f, const char *commands) {
        int r = nft_run_cmd_from_buffer(f->nft, commands);

        (void) nft_ctx_get_output_buffer(f->nft); /* empties it */
        return r == 0 ? 0 : -EIO;
}

int firewall_run(Firewall *f, const char *commands) {
        int r = run(f, commands);

        if (r < 0)
                log_debug("nft: %.500s", nft_ctx_get_error_buffer(f->nft));
        return r;
}

int firewall_list(Firewall *f, const char *command, char **ret) {
        _cleanup_free_ char *text = NULL;
        int r = nft_run_cmd_from_buffer(f->nft, command);

        (void) nft_ctx_get_error_buffer(f->nft);
        text = strdup(nft_ctx_get_output_buffer(f->nft) ?: "");
        if (!text)
                return -ENOMEM;
        if (r != 0)
                return -ENOENT;
        *ret = TAKE_PTR(text);
        return 0;
}

static int make(Firewall *f, const char *rules, EgressLists *lists, sd_bus_error *error) {
        _cleanup_free_ char *commands = NULL, *elements = NULL;
        int r;

        r = egress_lists_format(lists, &elements);
        if (r < 0)
                return r;
        /* The first line is for the second, which is not for tables that are not there. */
        if (asprintf(&commands, "add table inet sandboxd\ndelete table inet sandboxd\n"
                                "table inet sandboxd {\nchain version_%016" PRIx64 " {\n}\n%s}\n%s", hash(rules), rules,
                     elements) < 0)
                return -ENOMEM;
        if (run(f, commands) >= 0)
                return 0;
        log_error("The rules for packets could not be made: %.500s", nft_ctx_get_error_buffer(f->nft));
        return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "The rules for packets of sandboxes could not be made.");
}

int firewall_ensure(Firewall *f, const FirewallSpec *spec, EgressLists *lists, sd_bus_error *error) {
        _cleanup_free_ char *rules = NULL;
        char check[96];
        int r;

        r = firewall_format(spec, &rules);
        if (r < 0)
                return r;
        snprintf(check, sizeof check, "list chain inet sandboxd version_%016" PRIx64, hash(rules));
        if (run(f, check) >= 0)
                return 0;
        (void) nft_ctx_get_error_buffer(f->nft);
        return make(f, rules, lists, error);
}

int firewall_rebuild(Firewall *f, const FirewallSpec *spec, EgressLists *lists, sd_bus_error *error) {
        _cleanup_free_ char *rules = NULL;
        int r;

        r = firewall_format(spec, &rules);
        return r < 0 ? r : make(f, rules, lists, error);
}
