/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/port.h"

/* Before its owner has said anything, a sandbox shows the contract's defaults (every origin, no token needed), which the
 * systems before us stored and never heeded. What nobody said opens nothing here: only what was set is acted upon. */

void proxy_get_config(const Sandbox *s, ProxyConfig *ret) {
        json_t *auth = json_object_get(s->proxy, "requireAuth"), *timeout = json_object_get(s->proxy, "timeout");

        *ret = (ProxyConfig) {
                .cors = json_string_value(json_object_get(s->proxy, "cors")),
                .require_auth = !auth || json_is_true(auth),
                .timeout_usec = (uint64_t) (timeout ? json_integer_value(timeout) : PROXY_TIMEOUT_MSEC) * USEC_PER_MSEC,
        };
}

json_t *proxy_config_to_json(const Manager *m, const Sandbox *s) {
        _cleanup_free_ char *prefix = path_prefix(m->settings.api_prefix);
        json_t *object = json_pack("{s:s, s:o, s:s, s:b, s:i}", "sandboxId", s->public_id, "proxyBase",
                                   json_sprintf("%s/proxy/%s", prefix ?: "", s->public_id), "cors", "*",
                                   "requireAuth", 0, "timeout", PROXY_TIMEOUT_MSEC);

        if (object && s->proxy)
                (void) json_object_update(object, s->proxy);
        return object;
}

int proxy_set_config(Manager *m, Sandbox *s, json_t *fields) {
        if (json_object_size(fields) == 0)
                return 0;
        if (!s->proxy)
                s->proxy = json_object();
        if (!s->proxy || json_object_update(s->proxy, fields) < 0)
                return -ENOMEM;
        return manager_save_sandbox(m, s);
}

static bool origin_is_valid(const char *s, size_t n) {
        const char *host = startswith(s, "http://") ?: startswith(s, "https://");

        if (!host || host >= s + n)
                return false;
        for (const char *p = host; p < s + n; p++)
                if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f || strchr("/\\\"'*,;", *p))
                        return false;
        return true;
}

bool proxy_cors_is_valid(const char *cors) {
        if (streq(cors, "*") || isempty(cors))
                return true;
        for (const char *p = cors;; p++) {
                size_t n;

                p += strspn(p, " ");
                n = strcspn(p, ", ");
                if (!origin_is_valid(p, n))
                        return false;
                p += n;
                p += strspn(p, " ");
                if (!*p)
                        return true;
                if (*p != ',')
                        return false;
        }
}

const char *proxy_allow_origin(const Sandbox *s, const char *origin) {
        size_t wanted = strlen(origin);
        ProxyConfig c;

        proxy_get_config(s, &c);
        if (streq_ptr(c.cors, "*"))
                return "*";
        for (const char *p = c.cors; p && *p;) {
                size_t n;

                p += strspn(p, ", ");
                n = strcspn(p, ", ");
                if (n > 0 && n == wanted && memcmp(p, origin, n) == 0)
                        return origin;
                p += n;
        }
        return NULL;
}

int proxy_base(const Manager *m, const Sandbox *s, uint16_t port, char **ret) {
        _cleanup_free_ char *prefix = path_prefix(m->settings.api_prefix);

        return !prefix || asprintf(ret, "%s/proxy/%s/%u", prefix, s->public_id, port) < 0 ? -ENOMEM : 0;
}

int proxy_parse_port(const char *text, uint16_t *ret, sd_bus_error *error) {
        _cleanup_free_ char *shown = NULL;
        uint32_t port;

        if (strspn(text, "0123456789") == strlen(text) && parse_u32(text, &port) >= 0 && port > 0 && port <= UINT16_MAX) {
                *ret = (uint16_t) port;
                return 0;
        }
        shown = utf8_sanitize(text, strnlen(text, 32));
        return bus_error_set(error, BUS_ERROR_INVALID, "port must be 1-65535, got %s", shown ?: "");
}

/* A page is many requests for one port, and between two of them hardly anything is written: no need to read again. */
int proxy_check_port(Manager *m, Sandbox *s, uint16_t port, sd_bus_error *error) {
        uint64_t changes = store_changes(m->store);

        if (s->exposed_port == port && s->exposed_changes == changes)
                return 0;
        if (port_is_exposed(m->store, s->public_id, port)) {
                s->exposed_port = port;
                s->exposed_changes = changes;
                return 0;
        }
        return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Port %u is not exposed on sandbox %s", port, s->public_id);
}
