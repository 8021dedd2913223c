/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-netd/restrict.h"

/* Methods parse, check, call and reply. What they are given are numbers, an id and two descriptors of the sandbox's
 * network namespace; no name and no text of a client comes here. */

static int read_id(sd_bus_message *message, const char **ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_read_basic(message, 's', ret);
        if (r < 0)
                return r;
        return sandbox_id_is_valid(*ret) ? 0 : bus_error_set(error, BUS_ERROR_INVALID, "Not the id of a sandbox.");
}

static int explain(int r, const char *id, sd_bus_error *error) {
        if (r >= 0 || sd_bus_error_is_set(error))
                return r;
        log_sandbox_errno(LOG_WARNING, r, id, "Failed to connect the sandbox: %m");
        if (r == -ENOSPC)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "No address is left in SANDBOX_NETWORK_RANGE.");
        if (r == -EINVAL)
                return bus_error_set(error, BUS_ERROR_INVALID, "These are not the descriptors of a network namespace.");
        return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "The network could not be connected: %s.", strerror(-r));
}

/* The way out also has a name server, if the host knows one. */
static int reply_attached(sd_bus_message *message, const Manager *m, uint32_t address) {
        char text[ADDRESS_TEXT_MAX], gateway[ADDRESS_TEXT_MAX] = "";

        if (m->spec.resolver)
                (void) address_format(range_gateway(&m->spec.range), gateway);
        return sd_bus_reply_method_return(message, "ss", address_format(address, text), gateway);
}

static int method_attach(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        uint32_t address;
        Wiring w;
        int r;

        r = read_id(message, &w.id, error);
        if (r >= 0)
                r = sd_bus_message_read(message, "hh", &w.namespace_fd, &w.netlink_fd);
        if (r < 0)
                return r;
        r = manager_attach(userdata, &w, &address, error);
        return r < 0 ? explain(r, w.id, error) : reply_attached(message, userdata, address);
}

static int method_join(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        uint32_t address, network, member;
        char text[ADDRESS_TEXT_MAX];
        Wiring w;
        int r;

        r = read_id(message, &w.id, error);
        if (r >= 0)
                r = sd_bus_message_read(message, "uuhh", &network, &member, &w.namespace_fd, &w.netlink_fd);
        if (r < 0)
                return r;
        r = manager_join(userdata, &w, network, member, &address, error);
        return r < 0 ? explain(r, w.id, error)
                     : sd_bus_reply_method_return(message, "s", address_format(address, text));
}

static int method_leave(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *m = userdata;
        uint32_t network;
        LinkName name;
        const char *id;
        int r;

        r = read_id(message, &id, error);
        if (r >= 0)
                r = sd_bus_message_read_basic(message, 'u', &network);
        if (r < 0)
                return r;
        if (network >= 256)
                return bus_error_set(error, BUS_ERROR_INVALID, "There is no network %u.", network);
        link_name_member(id, network, name);
        r = link_remove(m->host, name);
        return r < 0 ? explain(r, id, error) : sd_bus_reply_method_return(message, NULL);
}

static int append_link(const LinkState *link, void *userdata) {
        const char *name = link->name;
        bool member = startswith(name, LINK_MEMBER);
        unsigned network = 0;
        char text[ADDRESS_TEXT_MAX];

        if (member && sscanf(name + strlen(LINK_MEMBER), "%2x", &network) != 1)
                return 0;
        return sd_bus_message_append(userdata, "(sbus)", name + strlen(LINK_MEMBER) + (member ? 2 : 0), (int) member,
                                     (uint32_t) network, address_format(link->address, text));
}

/* Of ways out only: what members say to each other is theirs. */
static int append_usage(const LinkState *link, void *userdata) {
        const char *digits = startswith(link->name, LINK_EGRESS);

        return !digits ? 0 : sd_bus_message_append(userdata, "(stt)", digits, link->sent_bytes, link->received_bytes);
}

static int reply_links(sd_bus_message *message, const char *type, int (*append)(const LinkState *link, void *userdata),
                       Manager *m) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', type);
        if (r >= 0)
                r = link_foreach(m->host, append, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        (void) error;
        manager_collect_lists(userdata);
        return reply_links(message, "(sbus)", append_link, userdata);
}

static int method_usage(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        (void) error;
        manager_log_refused_soon(userdata);
        return reply_links(message, "(stt)", append_usage, userdata);
}

/* Lists */

static int read_prefixes(sd_bus_message *message, EgressList *l, sd_bus_error *error) {
        uint32_t bits, address;
        uint16_t port;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "(uuq)");
        while (r >= 0 && (r = sd_bus_message_read(message, "(uuq)", &address, &bits, &port)) > 0) {
                if (bits > 32 || (address & ~prefix_mask(bits)))
                        return bus_error_set(error, BUS_ERROR_INVALID, "Not a prefix.");
                r = egress_list_add_prefix(l, &(Prefix) { address, bits }, port);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_marks(sd_bus_message *message, EgressList *l, sd_bus_error *error) {
        const uint32_t *marks;
        size_t n;
        int r;

        r = sd_bus_message_read_array(message, 'u', (const void **) &marks, &n);
        for (size_t i = 0; r >= 0 && i < n / sizeof *marks; i++)
                if (egress_mark_is_valid(marks[i]))
                        r = egress_list_add_mark(l, marks[i]);
                else
                        r = bus_error_set(error, BUS_ERROR_INVALID, "Not a mark.");
        return r;
}

static int read_list(sd_bus_message *message, EgressList **ret, sd_bus_error *error) {
        _cleanup_(egress_list_freep) EgressList *l = NULL;
        const char *id;
        int r;

        r = read_id(message, &id, error);
        if (r >= 0)
                r = egress_list_new(id, 0, &l);
        if (r >= 0)
                r = read_prefixes(message, l, error);
        if (r >= 0)
                r = read_marks(message, l, error);
        if (r == -E2BIG)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "The list is too long.");
        if (r >= 0)
                *ret = TAKE_PTR(l);
        return r;
}

static int method_restrict(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        char text[ADDRESS_TEXT_MAX], gateway[ADDRESS_TEXT_MAX] = "";
        Manager *m = userdata;
        EgressList *l = NULL;
        uint32_t address;
        int r;

        r = read_list(message, &l, error);
        if (r < 0)
                return r;
        r = manager_restrict(m, l, &address, error);
        if (r < 0)
                return r;
        manager_log_refused_soon(m);
        if (!m->spec.resolver)
                (void) address_format(range_gateway(&m->spec.range), gateway);
        return sd_bus_reply_method_return(message, "ss", address_format(address, text), gateway);
}

static int method_release(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *id;
        int r;

        r = read_id(message, &id, error);
        if (r >= 0)
                r = manager_release(userdata, id, error);
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

/* Of the newest ones as many as an answer should have; what they are sorted by is not known. */
#define REFUSED_MAX 256U

static int append_refused(sd_bus_message *reply, Manager *m, uint32_t source) {
        _cleanup_free_ Element *elements = NULL;
        size_t n = 0;
        int r;

        r = manager_get_elements(m, "denied", source, &elements, &n);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(suut)");
        for (size_t i = 0; r >= 0 && i < MIN(n, (size_t) REFUSED_MAX); i++) {
                const Element *e = elements + i;
                char text[ADDRESS_TEXT_MAX];

                r = sd_bus_message_append(reply, "(suut)", address_format(e->parts[1], text), e->parts[2], e->parts[3],
                                          e->packets);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_decisions(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Manager *m = userdata;
        EgressList *l;
        const char *id;
        int r;

        r = read_id(message, &id, error);
        if (r < 0)
                return r;
        l = egress_lists_get(&m->lists, id);
        if (!l)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "The sandbox has no list.");
        r = firewall_ensure(m->firewall, &m->spec, &m->lists, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "tt", manager_get_counter(m, "accepted", l->address),
                                          manager_get_counter(m, "refused", l->address));
        if (r >= 0)
                r = append_refused(reply, m, l->address);
        manager_log_refused_soon(m);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Attach", SD_BUS_ARGS("s", id, "h", namespace, "h", netlink),
                                SD_BUS_RESULT("s", address, "s", resolver), method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Join", SD_BUS_ARGS("s", id, "u", network, "u", member, "h", namespace, "h", netlink),
                                SD_BUS_RESULT("s", address), method_join, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Leave", SD_BUS_ARGS("s", id, "u", network), SD_BUS_NO_RESULT, method_leave,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sbus)", wires), method_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Usage", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(stt)", received_sent), method_usage,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Restrict", SD_BUS_ARGS("s", id, "a(uuq)", prefixes, "au", marks),
                                SD_BUS_RESULT("s", address, "s", resolver), method_restrict, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_release,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Decisions", SD_BUS_ARGS("s", id),
                                SD_BUS_RESULT("t", accepted, "t", refused, "a(suut)", recent), method_decisions,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        return sd_bus_add_object_vtable(bus, NULL, NET_OBJECT, NET_INTERFACE, manager_vtable, userdata);
}

int manager_serve(Manager *m, int listen_fd) {
        return bus_server_new(&(BusServerOptions) { .service = m->service, .listen_fd = listen_fd,
                                                    .on_connect = on_connect, .userdata = m,
                                                    .uids = &m->sandboxd_uid,
                                                    .n_uids = m->sandboxd_uid != UID_INVALID }, &m->server);
}
