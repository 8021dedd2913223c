/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/sandbox-id.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/string-util.h"

/* 128 random bits name a sandbox towards the kernel and systemd; people and clients see the first 96 of them, which is
 * what their tools expect and still nothing to guess. Every text from outside that claims to be an id goes through here
 * before it becomes a part of a path or a unit's name. */

#define NODE_APP_ID SD_ID128_MAKE(5d,0a,4e,0b,9f,61,4c,55,8a,53,12,c6,0f,8e,71,3d)

static bool is_lower_hex(const char *s, size_t n) {
        return strspn(s, "0123456789abcdef") == n && s[n] == 0;
}

bool sandbox_id_is_valid(const char *digits) {
        return digits && is_lower_hex(digits, SANDBOX_ID_LENGTH);
}

int sandbox_id_random(SandboxId *ret) {
        sd_id128_t id, node;
        int r;

        assert(ret);

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;

        /* Two bytes say which node made it, so that a cluster can route by id alone. */
        if (sd_id128_get_machine_app_specific(NODE_APP_ID, &node) >= 0) {
                id.bytes[10] = node.bytes[0];
                id.bytes[11] = node.bytes[1];
        }
        sd_id128_to_string(id, ret->digits);
        return 0;
}

void sandbox_id_short(const char *id, char ret[SANDBOX_ID_SHORT + 1]) {
        memcpy(ret, id, SANDBOX_ID_SHORT);
        ret[SANDBOX_ID_SHORT] = 0;
}

void sandbox_id_scope(const char *id, char ret[64]) {
        snprintf(ret, 64, SANDBOX_SCOPE_PREFIX "%.*s.scope", (int) SANDBOX_ID_SHORT, id);
}

int sandbox_id_from_scope(const char *unit, char ret[SANDBOX_ID_SHORT + 1]) {
        const char *digits = startswith(unit, SANDBOX_SCOPE_PREFIX);
        char copy[SANDBOX_ID_SHORT + 1];

        if (!digits || strlen(digits) != SANDBOX_ID_SHORT + strlen(".scope") || !endswith(digits, ".scope"))
                return -EINVAL;
        sandbox_id_short(digits, copy);
        if (!is_lower_hex(copy, SANDBOX_ID_SHORT))
                return -EINVAL;
        memcpy(ret, copy, sizeof copy);
        return 0;
}

int object_id_random(const char *prefix, char ret[40]) {
        char digits[SD_ID128_STRING_MAX];
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        r = snprintf(ret, 40, "%s_%.24s", prefix, sd_id128_to_string(id, digits));
        return r < 40 ? 0 : -ENAMETOOLONG;
}

bool object_id_is_valid(const char *id, const char *prefix) {
        const char *rest = id ? startswith(id, prefix) : NULL;

        return rest && rest[0] == '_' && is_lower_hex(rest + 1, 24);
}
