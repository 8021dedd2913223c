/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

const Prefix guarded_prefixes[] = {
        { 0x00000000, 8  }, /* this network */
        { 0x0a000000, 8  }, /* private */
        { 0x64400000, 10 }, /* carriers' own */
        { 0x7f000000, 8  }, /* loopback */
        { 0xa9fe0000, 16 }, /* link-local, and the metadata of clouds */
        { 0xac100000, 12 }, /* private */
        { 0xc0000000, 24 }, /* protocols' own */
        { 0xc0a80000, 16 }, /* private */
        { 0xc6120000, 15 }, /* benchmarks */
        { 0xe0000000, 3  }, /* multicast, reserved, broadcast */
};
const size_t n_guarded_prefixes = ELEMENTSOF(guarded_prefixes);

uint32_t prefix_mask(unsigned bits) {
        return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

int address_parse(const char *s, uint32_t *ret) {
        struct in_addr a;

        if (inet_pton(AF_INET, s, &a) != 1)
                return -EINVAL;
        *ret = ntohl(a.s_addr);
        return 0;
}

const char *address_format(uint32_t address, char buffer[ADDRESS_TEXT_MAX]) {
        struct in_addr a = { htonl(address) };

        return inet_ntop(AF_INET, &a, buffer, ADDRESS_TEXT_MAX);
}

int prefix_parse(const char *s, Prefix *ret) {
        char text[ADDRESS_TEXT_MAX];
        size_t n = strcspn(s, "/");
        uint32_t bits = 32;
        Prefix p;
        int r;

        if (n >= sizeof text)
                return -EINVAL;
        memcpy(text, s, n);
        text[n] = 0;
        r = address_parse(text, &p.address);
        if (r >= 0 && s[n])
                r = parse_u32(s + n + 1, &bits);
        if (r < 0 || bits > 32 || (p.address & ~prefix_mask(bits)))
                return -EINVAL;
        p.bits = bits;
        *ret = p;
        return 0;
}

const char *prefix_format(const Prefix *p, char buffer[PREFIX_TEXT_MAX]) {
        char text[ADDRESS_TEXT_MAX];

        snprintf(buffer, PREFIX_TEXT_MAX, "%s/%u", address_format(p->address, text), p->bits % 100);
        return buffer;
}

bool prefixes_overlap(const Prefix *a, const Prefix *b) {
        uint32_t mask = prefix_mask(MIN(a->bits, b->bits));

        return ((a->address ^ b->address) & mask) == 0;
}

static bool is_in(uint32_t address, const Prefix *prefixes, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (prefixes_overlap(prefixes + i, &(Prefix) { address, 32 }))
                        return true;
        return false;
}

bool address_is_guarded(uint32_t address, const Prefix *allowed, size_t n_allowed) {
        return !is_in(address, allowed, n_allowed) && is_in(address, guarded_prefixes, n_guarded_prefixes);
}

uint32_t range_gateway(const Prefix *range) {
        return range->address + 1;
}

uint32_t range_candidate(const Prefix *range, const char *id, unsigned n) {
        uint32_t size = ~prefix_mask(range->bits) - 2; /* without network, gateway and broadcast */
        char digits[9] = "";

        memcpy(digits, id, MIN(strlen(id), sizeof digits - 1));
        return range->address + 2 + (uint32_t) ((strtoul(digits, NULL, 16) + n) % size);
}

int private_network(const Prefix *range, unsigned network, Prefix *ret) {
        if (range->bits > NETWORK_BITS || network >= UINT32_C(1) << (NETWORK_BITS - range->bits))
                return -ERANGE;
        *ret = (Prefix) { range->address + (network << (32 - NETWORK_BITS)), NETWORK_BITS };
        return 0;
}

int private_member(const Prefix *range, unsigned network, unsigned member, uint32_t *ret) {
        Prefix p;
        int r;

        r = private_network(range, network, &p);
        if (r >= 0 && (member == 0 || member > NETWORK_MEMBER_MAX))
                r = -ERANGE;
        if (r >= 0)
                *ret = p.address + member;
        return r;
}

int prefixes_parse(const char *text, Prefix **ret, size_t *ret_n, char **ret_bad) {
        _cleanup_free_ char *copy = strdup(text);
        _cleanup_free_ Prefix *prefixes = NULL;
        char *rest = copy, *word;
        size_t n = 0;

        if (!copy)
                return -ENOMEM;
        while ((word = strsep(&rest, ", "))) {
                Prefix *larger;

                if (isempty(word))
                        continue;
                larger = reallocarray(prefixes, n + 1, sizeof *larger);
                if (!larger)
                        return -ENOMEM;
                prefixes = larger;
                if (prefix_parse(word, prefixes + n++) < 0) {
                        if (ret_bad)
                                *ret_bad = strdup(word);
                        return -EINVAL;
                }
        }
        *ret = TAKE_PTR(prefixes);
        *ret_n = n;
        return 0;
}
