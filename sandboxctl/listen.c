/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* The address of the API belongs to the socket unit, which sandboxd cannot change and must not: it has no right to
 * bind. So the setting of the port becomes a drop-in, written by whoever may write to /etc. All that goes into it is
 * parsed here first, since a line break in an address would be a line of a unit. */

static int address_family(const char *address) {
        struct in6_addr six;
        struct in_addr four;

        if (inet_pton(AF_INET, address, &four) == 1)
                return AF_INET;
        return inet_pton(AF_INET6, address, &six) == 1 ? AF_INET6 : -EINVAL;
}

bool address_is_loopback(const char *address) {
        return (address_family(address) == AF_INET && startswith(address, "127.")) || streq(address, "::1");
}

/* ADDRESS[/BITS]; systemd's words such as "any" are not offered, that is what no prefix means. */
static bool prefix_is_valid(const char *prefix) {
        size_t n = strcspn(prefix, "/");
        _cleanup_free_ char *address = strndup(prefix, n);
        int family = address ? address_family(address) : -ENOMEM;
        uint32_t bits = 0;

        return family >= 0 && (!prefix[n] || (parse_u32(prefix + n + 1, &bits) >= 0 &&
                                              bits <= (family == AF_INET ? 32U : 128U)));
}

static int write_dropin(FILE *f, uint32_t port, char *const *addresses, char *const *allow, const char **ret_bad) {
        bool open = false;

        (void) fputs("# Written by \"sandboxctl configure\".\n[Socket]\nListenStream=\n", f);
        STRV_FOREACH(a, addresses) {
                int family = address_family(*a);

                *ret_bad = *a;
                if (family < 0)
                        return family;
                open = open || !address_is_loopback(*a);
                (void) fprintf(f, family == AF_INET ? "ListenStream=%s:%" PRIu32 "\n" : "ListenStream=[%s]:%" PRIu32 "\n",
                               *a, port);
        }
        (void) fputs("ListenStream=" API_SOCKET_PATH "\n", f);

        /* The socket unit itself lets only this machine in. */
        if (open && strv_length(allow) == 0)
                (void) fputs("IPAddressAllow=any\n", f);
        STRV_FOREACH(p, allow) {
                *ret_bad = *p;
                if (!prefix_is_valid(*p))
                        return -EINVAL;
                (void) fprintf(f, "IPAddressAllow=%s\n", *p);
        }
        return 0;
}

int listen_dropin(uint32_t port, char *const *addresses, char *const *allow, char **ret, const char **ret_bad) {
        static char *const loopback[] = { (char *) "127.0.0.1", (char *) "::1", NULL };
        char *text = NULL;
        size_t size;
        FILE *f;
        int r;

        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        r = write_dropin(f, port, strv_length(addresses) > 0 ? addresses : loopback, allow, ret_bad);
        if (fclose(f) == EOF && r >= 0)
                r = -ENOMEM;
        if (r < 0) {
                free(text);
                return r;
        }
        *ret = text;
        return 0;
}
