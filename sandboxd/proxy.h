/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* What a sandbox's owner says about how its servers are shown, and URLs that let somebody else in for a while. No HTTP. */

typedef struct ProxyConfig {
        const char *cors;       /* "*", or origins with commas between; borrowed. NULL: never said */
        bool require_auth;
        uint64_t timeout_usec;
} ProxyConfig;

#define PROXY_TIMEOUT_MSEC 30000
#define PROXY_TIMEOUT_MAX_MSEC 3600000

void proxy_get_config(const Sandbox *s, ProxyConfig *ret);
/* As the contract shows it, defaults included. */
json_t *proxy_config_to_json(const Manager *m, const Sandbox *s);
/* Members of fields that are not there stay as they are. */
int proxy_set_config(Manager *m, Sandbox *s, json_t *fields);
bool proxy_cors_is_valid(const char *cors);
/* What Access-Control-Allow-Origin says to a page of that origin; NULL: nothing. */
const char *proxy_allow_origin(const Sandbox *s, const char *origin);

/* Of "/sandbox/proxy/sbx_.../8080", which lies before the paths of the server. */
int proxy_base(const Manager *m, const Sandbox *s, uint16_t port, char **ret);
int proxy_parse_port(const char *text, uint16_t *ret, sd_bus_error *error);
int proxy_check_port(Manager *m, const Sandbox *s, uint16_t port, sd_bus_error *error);

/* --- signatures (proxy-sign.c) */

#define PROXY_SIGNATURE_NAME "sandbox-sig"
#define PROXY_SIGNATURE_SIZE 128U

/* What a signature lets through: paths of one port below a path, until a time (seconds, wall clock). */
typedef struct ProxyGrant {
        const char *sandbox;    /* its public id */
        uint16_t port;
        const char *path;       /* as it stands in the URL, without a query */
        size_t n_path;
        uint64_t expires_sec;
} ProxyGrant;

int proxy_sign(Manager *m, const ProxyGrant *grant, char ret[static PROXY_SIGNATURE_SIZE]);
/* Whether text is the signature of a grant that lets path (NUL-terminated) through now: fills the rest of grant.
 * -EACCES: it is not. */
int proxy_verify(Manager *m, const char *text, const char *path, ProxyGrant *grant);
