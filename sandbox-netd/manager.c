/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/runtime-files.h"
#include "libsandbox/string-util.h"
#include "sandbox-netd/resolver.h"
#include "sandbox-netd/restrict.h"

/* Connecting is a handful of messages to the kernel, done at one go: nothing here waits for anybody. Whoever kills us in
 * the middle leaves an interface without an alias, which the next try takes away. */

/* Of a range that is nearly full an address may be hard to find by trying. */
#define ADDRESS_TRIES_MAX 65536U
/* Larger ones would not fit between 2^n and the numbers of groups; smaller ones hold hardly anybody. */
#define RANGE_BITS_MIN 8U
#define RANGE_BITS_MAX 28U

static int parse_range(const char *name, const char *text, unsigned bits_max, Prefix *ret) {
        int r = prefix_parse(text, ret);

        if (r >= 0 && (ret->bits < RANGE_BITS_MIN || ret->bits > bits_max))
                r = -ERANGE;
        return r < 0 ? log_error_errno(r, "%s is no range of IPv4 addresses that could be used: %s", name, text) : 0;
}

static int parse_allowed(Manager *m) {
        _cleanup_free_ char *bad = NULL;
        int r;

        m->allowed = mfree(m->allowed);
        m->spec.n_allowed = 0;
        r = prefixes_parse(m->settings.network_allow ?: "", &m->allowed, &m->spec.n_allowed, &bad);
        if (r < 0)
                return log_error_errno(r, "SANDBOX_NETWORK_ALLOW: '%s' is no prefix.", bad ?: "");
        m->spec.allowed = m->allowed;
        return 0;
}

static int read_settings(Manager *m) {
        const Settings *s = &m->settings;
        int r;

        r = parse_range("SANDBOX_NETWORK_RANGE", s->network_range, RANGE_BITS_MAX, &m->spec.range);
        if (r >= 0)
                r = parse_range("SANDBOX_NETWORK_PRIVATE", s->network_private, NETWORK_BITS, &m->spec.private);
        if (r >= 0 && prefixes_overlap(&m->spec.range, &m->spec.private))
                r = log_error_errno(-EINVAL, "SANDBOX_NETWORK_RANGE and SANDBOX_NETWORK_PRIVATE overlap.");
        if (r >= 0)
                r = parse_allowed(m);
        if (r >= 0)
                r = resolver_find(s->network_dns, &m->spec.resolver);
        return r;
}

/* /run/sandbox-netd, which stays when we leave. */
static int open_lists(Manager *m) {
        int fd = runtime_directory_open(), r;

        if (fd < 0)
                return fd;
        r = egress_lists_init(&m->lists, fd);
        return r < 0 ? log_error_errno(r, "Failed to read the lists: %m") : 0;
}

int manager_init(Manager *m, Service *service) {
        const struct passwd *user = getpwnam("sandboxd");
        int r;

        *m = (Manager) { .service = service, .sandboxd_uid = user ? user->pw_uid : UID_INVALID,
                         .lists.directory_fd = -EBADF };
        user = getpwnam("sandbox-dns");
        m->dns_uid = user ? user->pw_uid : UID_INVALID;
        r = settings_load(&m->settings);
        if (r < 0)
                return log_error_errno(r, "Failed to read the settings: %m");
        r = netlink_open(&m->host);
        if (r < 0)
                return log_error_errno(r, "Failed to open a routing socket: %m");
        r = firewall_new(&m->firewall);
        if (r < 0)
                return log_error_errno(r, "Failed to open the packet filter: %m");
        r = open_lists(m);
        return r < 0 ? r : read_settings(m);
}

void manager_done(Manager *m) {
        m->server = bus_server_free(m->server);
        m->pins_server = bus_server_free(m->pins_server);
        sd_event_source_disable_unref(m->log_timer);
        egress_lists_done(&m->lists);
        m->firewall = firewall_free(m->firewall);
        nl_socket_free(m->host);
        free(m->allowed);
        settings_done(&m->settings);
}

void manager_set_idle(Manager *m) {
        service_set_idle_sec(m->service, m->settings.idle_exit_sec);
}

int manager_reload(void *userdata) {
        Manager *m = userdata;
        int r;

        r = settings_reload(&m->settings);
        if (r > 0) {
                m->range_checked = false;
                manager_set_idle(m);
                r = read_settings(m);
        }
        return r;
}

static bool forwards(const char *interface) {
        _cleanup_free_ char *text = NULL;
        char path[96];

        snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/forwarding", interface);
        return read_text_at(AT_FDCWD, path, 16, &text) < 0 || !streq(text, "0");
}

static int check_range(Manager *m, const char *name, const Prefix *range, sd_bus_error *error) {
        char ours[PREFIX_TEXT_MAX], theirs[PREFIX_TEXT_MAX];
        Prefix taken;
        int r;

        r = link_check_range(m->host, range, &taken);
        if (r == -EADDRINUSE)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE,
                                     "%s (%s) overlaps a route of this host's own (%s): choose another one.", name,
                                     prefix_format(range, ours), prefix_format(&taken, theirs));
        return r;
}

int manager_prepare(Manager *m, bool egress, sd_bus_error *error) {
        int r;

        if (!m->range_checked) {
                r = check_range(m, "SANDBOX_NETWORK_RANGE", &m->spec.range, error);
                if (r >= 0)
                        r = check_range(m, "SANDBOX_NETWORK_PRIVATE", &m->spec.private, error);
                if (r < 0)
                        return r;
                m->range_checked = true;
        }
        /* Packets come back over interfaces that are not ours to set. */
        if (egress && !forwards("all"))
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "This host does not forward packets: set the sysctl "
                                                                   "net.ipv4.ip_forward to 1.");
        return firewall_ensure(m->firewall, &m->spec, &m->lists, error);
}

static int find_address(Manager *m, const LinkSpec *spec, unsigned host, unsigned inner, uint32_t *ret) {
        const Prefix *range = &m->spec.range;
        int r = -EEXIST;

        for (unsigned n = 0; r == -EEXIST && n < ADDRESS_TRIES_MAX; n++) {
                *ret = range_candidate(range, spec->id, n);
                r = link_route_egress(spec, host, inner, *ret, range_gateway(range));
        }
        return r == -EEXIST ? -ENOSPC : r;
}

/* A failed one leaves nothing. */
static int finish(Manager *m, const LinkSpec *spec, unsigned host, uint32_t address, int r) {
        if (r >= 0)
                r = link_set_alias(m->host, host, address);
        if (r < 0)
                (void) link_remove(m->host, spec->name);
        return r;
}

int manager_attach(Manager *m, const Wiring *w, uint32_t *ret, sd_bus_error *error) {
        _cleanup_(nl_socket_freep) struct nl_sock *inside = NULL;
        LinkSpec spec = { .id = w->id, .inner = "eth0", .group = LINK_GROUP_EGRESS, .namespace_fd = w->namespace_fd,
                          .host = m->host };
        unsigned host, inner;
        LinkName name;
        int r;

        r = manager_prepare(m, /* egress= */ true, error);
        if (r < 0)
                return r;
        link_name_egress(w->id, name);
        if (link_get_alias(m->host, name, ret) >= 0)
                return 0;
        /* An earlier one may have had the address that this one is about to get. */
        manager_collect_lists(m);
        r = netlink_adopt(w->netlink_fd, &inside);
        if (r < 0)
                return r;
        spec.name = name;
        spec.inside = inside;
        r = link_make(&spec, &host, &inner);
        if (r >= 0)
                r = find_address(m, &spec, host, inner, ret);
        return finish(m, &spec, host, *ret, r);
}

int manager_join(Manager *m, const Wiring *w, unsigned network, unsigned member, uint32_t *ret, sd_bus_error *error) {
        _cleanup_(nl_socket_freep) struct nl_sock *inside = NULL;
        LinkSpec spec = { .id = w->id, .group = LINK_GROUP_MEMBER + network, .namespace_fd = w->namespace_fd,
                          .host = m->host };
        unsigned host, inner;
        LinkName name;
        Prefix prefix;
        int r;

        r = private_network(&m->spec.private, network, &prefix);
        if (r >= 0)
                r = private_member(&m->spec.private, network, member, ret);
        if (r < 0)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "SANDBOX_NETWORK_PRIVATE has no network %u with a "
                                                                     "member %u.", network, member);
        r = manager_prepare(m, /* egress= */ false, error);
        if (r < 0)
                return r;
        link_name_member(w->id, network, name);
        if (link_get_alias(m->host, name, ret) >= 0)
                return 0;
        r = netlink_adopt(w->netlink_fd, &inside);
        if (r < 0)
                return r;
        snprintf(spec.inner, sizeof spec.inner, "net%u", network);
        spec.name = name;
        spec.inside = inside;
        r = link_make(&spec, &host, &inner);
        if (r >= 0)
                r = link_route_member(&spec, host, inner, *ret, &prefix);
        return finish(m, &spec, host, *ret, r);
}
