/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/egress-entry.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

#define LABEL_MAX 63U

bool egress_name_is_valid(const char *name) {
        size_t n = strlen(name);

        if (n == 0 || n > EGRESS_NAME_MAX)
                return false;
        for (const char *label = name;; label++) {
                size_t length = strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789_-");

                if (length == 0 || length > LABEL_MAX)
                        return false;
                label += length;
                if (!*label)
                        return true;
                if (*label != '.')
                        return false;
        }
}

/* No top-level domain is a number, and what ends in one was meant to be an address. */
static bool looks_like_address(const char *name) {
        const char *last = strrchr(name, '.');

        last = last ? last + 1 : name;
        return strspn(last, "0123456789") == strlen(last);
}

static int parse_name(const char *text, EgressEntry *ret) {
        size_t n;

        if (startswith(text, "*.")) {
                ret->wildcard = true;
                text += 2;
        }
        n = strlen(text);
        if (n > 0 && text[n - 1] == '.')
                n--;
        if (n == 0 || n > EGRESS_NAME_MAX)
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                ret->name[i] = (char) tolower((unsigned char) text[i]);
        ret->is_name = true;
        return egress_name_is_valid(ret->name) && !looks_like_address(ret->name) ? 0 : -EINVAL;
}

int egress_entry_parse(const char *text, EgressEntry *ret) {
        char copy[EGRESS_ENTRY_MAX];
        EgressEntry e = {};
        uint32_t port = 0;
        char *colon;
        int r;

        if (strlen(text) >= sizeof copy)
                return -EINVAL;
        memcpy(copy, text, strlen(text) + 1);
        colon = strchr(copy, ':');
        if (colon) {
                *colon = 0;
                if (parse_u32(colon + 1, &port) < 0 || port == 0 || port > UINT16_MAX)
                        return -EINVAL;
        }
        e.port = (uint16_t) port;
        r = prefix_parse(copy, &e.prefix);
        if (r < 0)
                r = parse_name(copy, &e);
        if (r < 0)
                return -EINVAL;
        *ret = e;
        return 0;
}

const char *egress_entry_format(const EgressEntry *e, char buffer[EGRESS_ENTRY_MAX]) {
        char port[8] = "", prefix[PREFIX_TEXT_MAX];

        if (e->port > 0)
                snprintf(port, sizeof port, ":%u", e->port);
        if (e->is_name)
                snprintf(buffer, EGRESS_ENTRY_MAX, "%s%s%s", e->wildcard ? "*." : "", e->name, port);
        else if (e->prefix.bits == 32)
                snprintf(buffer, EGRESS_ENTRY_MAX, "%s%s", address_format(e->prefix.address, prefix), port);
        else
                snprintf(buffer, EGRESS_ENTRY_MAX, "%s%s", prefix_format(&e->prefix, prefix), port);
        return buffer;
}

uint32_t egress_entry_mark(const EgressEntry *e) {
        char text[EGRESS_ENTRY_MAX];

        return egress_mark(egress_entry_format(e, text));
}

bool egress_entry_matches(const EgressEntry *e, const char *name) {
        size_t n = strlen(name), suffix = strlen(e->name);

        if (!e->is_name)
                return false;
        if (!e->wildcard)
                return streq(name, e->name);
        return n > suffix + 1 && name[n - suffix - 1] == '.' && streq(name + n - suffix, e->name);
}
