/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/proxy-head.h"
#include "sandboxd/proxy.h"

/* Who may see what a sandbox serves without having a token: whoever has a signed URL, or a cookie from one, and everybody
 * where the sandbox's owner and the operator both have said so. */

static int verify(Request *request, const Sandbox *s, uint16_t port, const char *signature) {
        ProxyGrant grant = { .sandbox = s->public_id, .port = port };
        const char *path = request_path_rest(request);

        return proxy_verify(request_userdata(request), signature, isempty(path) ? "/" : path, &grant);
}

/* A cookie may be left of a URL whose time is over, so that it is only of no use. A URL that is no good says so. */
static int admit_by_signature(Request *request, const Sandbox *s, uint16_t port, sd_bus_error *error) {
        _cleanup_free_ char *in_query = NULL, *in_cookie = NULL;
        int r;

        r = proxy_find_signature(request_query_text(request), "&", &in_query);
        if (r > 0) {
                r = verify(request, s, port, in_query);
                return r == -EACCES ? bus_error_set(error, BUS_ERROR_DENIED, "The signature of this URL is not valid, or "
                                                                             "its time is over")
                                    : r < 0 ? r : 1;
        }
        if (r == 0)
                r = proxy_find_signature(request_header(request, "Cookie"), "; ", &in_cookie);
        if (r <= 0)
                return r;
        return verify(request, s, port, in_cookie) >= 0;
}

static int admit(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const char *id = request_path_value(request, "id"), *port_text = request_path_value(request, "port");
        Sandbox *s = id ? manager_find_sandbox(m, id) : NULL;
        ProxyConfig config;
        uint16_t port;
        int r;

        if (!s || proxy_parse_port(port_text ?: "", &port, NULL) < 0)
                return 0; /* the handler tells, those who may know */
        r = admit_by_signature(request, s, port, error);
        if (r != 0)
                return r;
        proxy_get_config(s, &config);
        return !config.require_auth && m->settings.proxy_public;
}

static const char *allow_origin(Request *request, const char *origin) {
        const char *id = request_path_value(request, "id");
        Sandbox *s = id ? manager_find_sandbox(request_userdata(request), id) : NULL;

        return s ? proxy_allow_origin(s, origin) : NULL;
}

const RequestGate proxy_gate = { .admit = admit, .allow_origin = allow_origin };
