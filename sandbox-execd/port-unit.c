/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/port-unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

#define RELAY_PATH PKGLIBDIR "/sandbox-relay"
#define SLICE "sandbox-ports.slice"
#define ADDRESS_MAX 64U

static const char *protocol(const PortUnit *p) {
        return p->udp ? "udp" : "tcp";
}

void port_unit_name(const PortUnit *p, const char *suffix, char ret[PORT_UNIT_MAX]) {
        char digits[SANDBOX_ID_SHORT + 1];

        sandbox_id_short(p->id.digits, digits);
        snprintf(ret, PORT_UNIT_MAX, "sandbox-port-%s-%s-%u%s", digits, protocol(p), p->container_port, suffix);
}

void port_unit_pattern(const char *id, char ret[PORT_UNIT_MAX]) {
        char digits[SANDBOX_ID_SHORT + 1];

        sandbox_id_short(id, digits);
        snprintf(ret, PORT_UNIT_MAX, "sandbox-port-%s-*.socket", digits);
}

static void format_listener(const PortUnit *p, char ret[ADDRESS_MAX]) {
        snprintf(ret, ADDRESS_MAX, strchr(p->address, ':') ? "[%s]:%u" : "%s:%u", p->address, p->host_port);
}

/* No listener without its sandbox: BindsTo= with After= stops the one whenever the other is not active, so also one that
 * ended before systemd came to start this. socket: of the service, which ends with its listener, too. */
static int append_ties(sd_bus_message *m, const PortUnit *p, const char *socket) {
        char scope[64];
        int r;

        sandbox_id_scope(p->id.digits, scope);
        for (size_t i = 0; i < 2; i++) {
                const char *name = i == 0 ? "BindsTo" : "After";

                r = socket ? sd_bus_message_append(m, "(sv)", name, "as", 2, scope, socket)
                           : sd_bus_message_append(m, "(sv)", name, "as", 1, scope);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_append(m, "(sv)(sv)(sv)", "CollectMode", "s", "inactive-or-failed",
                                     "DefaultDependencies", "b", 0, "Slice", "s", SLICE);
}

int port_unit_append_socket(sd_bus_message *m, const PortUnit *p) {
        char listener[ADDRESS_MAX], description[160];
        int r;

        format_listener(p, listener);
        snprintf(description, sizeof description, "Port %u/%s of Sandbox %s at %s", p->container_port, protocol(p),
                 p->id.digits, listener);
        r = sd_bus_message_append(m, "(sv)(sv)", "Description", "s", description,
                                  "Listen", "a(ss)", 1, p->udp ? "Datagram" : "Stream", listener);
        return r < 0 ? r : append_ties(m, p, NULL);
}

static int append_relay(sd_bus_message *m, const PortUnit *p) {
        char description[96], namespace[64], port[8], cookie[24], socket[PORT_UNIT_MAX];
        int r;

        snprintf(description, sizeof description, "Relay to Port %u/%s of Sandbox %s", p->container_port, protocol(p),
                 p->id.digits);
        /* Init lives as long as its scope. Should systemd come late and the number be another's by then, the namespace
         * has another cookie, of which there is each only once until the next boot: the relay looks, and leaves. */
        snprintf(namespace, sizeof namespace, "/proc/%i/ns/net", p->init);
        snprintf(port, sizeof port, "%u", p->container_port);
        snprintf(cookie, sizeof cookie, "%" PRIu64, p->netns_cookie);
        port_unit_name(p, ".socket", socket);
        r = sd_bus_message_append(m, "(sv)(sv)(sv)", "Description", "s", description,
                                  "NetworkNamespacePath", "s", namespace,
                                  "ExecStart", "a(sasb)", 1, RELAY_PATH, 4, "sandbox-relay", protocol(p), port, cookie,
                                  0);
        return r < 0 ? r : append_ties(m, p, socket);
}

/* What hardens it is the same for all and stands in a file, where an administrator sees it: sandbox-port-.service.d. */
int port_unit_append_service(sd_bus_message *m, const PortUnit *p) {
        char name[PORT_UNIT_MAX];
        int r;

        port_unit_name(p, ".service", name);
        r = sd_bus_message_open_container(m, 'a', "(sa(sv))");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "sa(sv)");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = append_relay(m, p);
        for (size_t i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

int port_unit_parse(const char *name, const char *description, PortUnit *ret) {
        char kind[4], digits[SANDBOX_ID_LENGTH + 1], expected[PORT_UNIT_MAX];
        const char *colon = strrchr(description, ':');
        unsigned port;
        uint32_t host;
        PortUnit p = {};

        if (!colon || sscanf(description, "Port %u/%3[a-z] of Sandbox %32[0-9a-f] at ", &port, kind, digits) != 3)
                return -EINVAL;
        if (port == 0 || port > UINT16_MAX || parse_u32(colon + 1, &host) < 0 || host == 0 || host > UINT16_MAX ||
            !sandbox_id_is_valid(digits))
                return -EINVAL;
        memcpy(p.id.digits, digits, sizeof p.id.digits);
        p.udp = streq(kind, "udp");
        p.container_port = (uint16_t) port;
        p.host_port = (uint16_t) host;
        port_unit_name(&p, ".socket", expected);
        if (!streq(name, expected))
                return -EINVAL;
        *ret = p;
        return 0;
}
