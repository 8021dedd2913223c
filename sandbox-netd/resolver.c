/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/resolver.h"

#include <errno.h>
#include <fcntl.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/address.h"

#define RESOLV_CONF_MAX (64 * KiB)

/* The first is what systemd-resolved itself asks; the second names its stub then. */
static const char *const files[] = { "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf" };

uint32_t resolver_parse(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *line;
        uint32_t address;

        while (rest && (line = strsep(&rest, "\n"))) {
                const char *value = startswith(line, "nameserver");

                if (!value || (*value != ' ' && *value != '\t'))
                        continue;
                line += strlen("nameserver");
                line = strstrip(line);
                if (address_parse(line, &address) >= 0 && address >> 24 != 127 && address != 0)
                        return address;
        }
        return 0;
}

int resolver_find(const char *setting, uint32_t *ret) {
        int r;

        *ret = 0;
        if (!isempty(setting)) {
                r = address_parse(setting, ret);
                return r < 0 ? log_error_errno(r, "SANDBOX_NETWORK_DNS is no IPv4 address: %s", setting) : 0;
        }
        for (size_t i = 0; *ret == 0 && i < ELEMENTSOF(files); i++) {
                _cleanup_free_ char *text = NULL;

                if (read_text_at(AT_FDCWD, files[i], RESOLV_CONF_MAX, &text) >= 0)
                        *ret = resolver_parse(text);
        }
        if (*ret == 0)
                log_notice("The host has no name server but on its loopback: sandboxes get none (SANDBOX_NETWORK_DNS).");
        return 0;
}
