/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/netd-client.h"

#include <errno.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"

/* Thin on purpose, as execd-client.c. The service is optional: whoever builds without it has no socket of it. */

struct NetdClient {
        Peer *peer;
        char *path;
};

int netd_client_new(sd_event *event, const char *path, NetdClient **ret) {
        _cleanup_(netd_client_freep) NetdClient *c = new0(NetdClient, 1);
        int r;

        if (!c)
                return -ENOMEM;
        c->path = strdup(path ?: "");
        if (!c->path)
                return -ENOMEM;
        r = peer_new(&(PeerOptions) { .event = event, .path = c->path, .object = NET_OBJECT }, &c->peer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

NetdClient *netd_client_free(NetdClient *c) {
        if (c) {
                peer_free(c->peer);
                free(c->path);
                free(c);
        }
        return NULL;
}

bool netd_is_there(const NetdClient *c) {
        return access(c->path, F_OK) >= 0;
}

static int begin(NetdClient *c, const char *member, const char *id, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, NET_INTERFACE, member, &m);
        if (r >= 0 && id)
                r = sd_bus_message_append_basic(m, 's', id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int netd_attach(NetdClient *c, const char *id, sd_bus_message *opened, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Attach", id, &m);
        if (r >= 0)
                r = sd_bus_message_copy(m, opened, /* all= */ true);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int netd_join(NetdClient *c, const char *id, unsigned network, unsigned member, sd_bus_message *opened,
              PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Join", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "uu", (uint32_t) network, (uint32_t) member);
        if (r >= 0)
                r = sd_bus_message_copy(m, opened, /* all= */ true);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int netd_leave(NetdClient *c, const char *id, unsigned network, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Leave", id, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "u", (uint32_t) network);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

/* One that has no more than an id to say, or nothing. */
static int call(NetdClient *c, const char *member, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, member, id, &m);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int netd_list(NetdClient *c, PeerCallback callback, void *userdata) {
        return call(c, "List", /* id= */ NULL, callback, userdata);
}

int netd_usage(NetdClient *c, PeerCallback callback, void *userdata) {
        return call(c, "Usage", /* id= */ NULL, callback, userdata);
}

int netd_release(NetdClient *c, const char *id, PeerCallback callback, void *userdata) {
        return call(c, "Release", id, callback, userdata);
}

int netd_decisions(NetdClient *c, const char *id, PeerCallback callback, void *userdata) {
        return call(c, "Decisions", id, callback, userdata);
}

int netd_restrict_begin(NetdClient *c, const char *id, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Restrict", id, &m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(uuq)");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int netd_restrict(NetdClient *c, sd_bus_message *m, const uint32_t *marks, size_t n_marks, PeerCallback callback,
                  void *userdata) {
        int r;

        r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'u', marks, n_marks * sizeof *marks);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int netd_read_sums(sd_bus_message *m, uint64_t *ret_accepted, uint64_t *ret_refused) {
        int r;

        r = sd_bus_message_read(m, "tt", ret_accepted, ret_refused);
        return r < 0 ? r : sd_bus_message_enter_container(m, 'a', "(suut)");
}

int netd_read_refusal(sd_bus_message *m, NetdRefusal *ret) {
        return sd_bus_message_read(m, "(suut)", &ret->address, &ret->protocol, &ret->port, &ret->packets);
}

int netd_read_wire(sd_bus_message *m, NetdWire *ret) {
        uint32_t network;
        int member, r;

        r = sd_bus_message_read(m, "(sbus)", &ret->digits, &member, &network, &ret->address);
        ret->member = member;
        ret->network = network;
        return r;
}
