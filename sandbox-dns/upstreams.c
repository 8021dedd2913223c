/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/upstreams.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_MAX (64 * KiB)
#define DNS_PORT 53

static bool parse_address(const char *text, UpstreamAddress *ret) {
        *ret = (UpstreamAddress) {};
        if (inet_pton(AF_INET, text, &ret->in.sin_addr) == 1) {
                ret->in.sin_family = AF_INET;
                ret->in.sin_port = htons(DNS_PORT);
                return true;
        }
        if (inet_pton(AF_INET6, text, &ret->in6.sin6_addr) == 1) {
                ret->in6.sin6_family = AF_INET6;
                ret->in6.sin6_port = htons(DNS_PORT);
                return true;
        }
        return false;
}

socklen_t upstream_size(const UpstreamAddress *a) {
        return a->any.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
}

void upstreams_parse(const char *text, Upstreams *ret) {
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *line;

        *ret = (Upstreams) {};
        while (rest && (line = strsep(&rest, "\n"))) {
                const char *value = startswith(line, "nameserver");

                if (!value || (*value != ' ' && *value != '\t') || ret->n == UPSTREAMS_MAX)
                        continue;
                if (parse_address(strstrip(line + strlen("nameserver")), ret->addresses + ret->n))
                        ret->n++;
        }
}

void upstreams_refresh(Upstreams *u, const char *setting) {
        _cleanup_free_ char *text = NULL;
        struct stat st;

        if (u->fixed)
                return;
        if (!isempty(setting)) {
                *u = (Upstreams) {};
                u->n = parse_address(setting, u->addresses);
                return;
        }
        if (stat(RESOLV_CONF, &st) < 0 ||
            (st.st_mtim.tv_sec == u->read.tv_sec && st.st_mtim.tv_nsec == u->read.tv_nsec && u->n > 0))
                return;
        if (read_text_at(AT_FDCWD, RESOLV_CONF, RESOLV_CONF_MAX, &text) >= 0)
                upstreams_parse(text, u);
        u->read = st.st_mtim;
        if (u->n == 0)
                log_warning("There is no name server in " RESOLV_CONF " (SANDBOX_NETWORK_DNS).");
}
