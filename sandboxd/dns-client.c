/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/dns-client.h"

#include <errno.h>

#include "libsandbox/bus-names.h"

struct DnsClient {
        Peer *peer;
        char *path;
};

int dns_client_new(sd_event *event, const char *path, DnsClient **ret) {
        _cleanup_(dns_client_freep) DnsClient *c = new0(DnsClient, 1);
        int r;

        if (!c)
                return -ENOMEM;
        c->path = strdup(path ?: "");
        if (!c->path)
                return -ENOMEM;
        r = peer_new(&(PeerOptions) { .event = event, .path = c->path, .object = DNS_OBJECT }, &c->peer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

DnsClient *dns_client_free(DnsClient *c) {
        if (c) {
                peer_free(c->peer);
                free(c->path);
                free(c);
        }
        return NULL;
}

static int begin(DnsClient *c, const char *member, const char *id, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, DNS_INTERFACE, member, &m);
        if (r >= 0 && id)
                r = sd_bus_message_append_basic(m, 's', id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int dns_set(DnsClient *c, const char *id, const char *address, char *const *names, PeerCallback callback,
            void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Set", id, &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', address);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) names);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

static int call(DnsClient *c, const char *member, const char *id, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, member, id, &m);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int dns_forget(DnsClient *c, const char *id, PeerCallback callback, void *userdata) {
        return call(c, "Forget", id, callback, userdata);
}

int dns_decisions(DnsClient *c, const char *id, PeerCallback callback, void *userdata) {
        return call(c, "Decisions", id, callback, userdata);
}

int dns_retain(DnsClient *c, char **ids, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = begin(c, "Retain", /* id= */ NULL, &m);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, ids);
        return r < 0 ? r : peer_send(c->peer, m, PEER_REPEATABLE, callback, userdata);
}

int dns_read_sums(sd_bus_message *m, uint64_t *ret_allowed, uint64_t *ret_denied, uint64_t *ret_private) {
        int r;

        r = sd_bus_message_read(m, "ttt", ret_allowed, ret_denied, ret_private);
        return r < 0 ? r : sd_bus_message_enter_container(m, 'a', "(squtt)");
}

int dns_read_decision(sd_bus_message *m, DnsDecision *ret) {
        return sd_bus_message_read(m, "(squtt)", &ret->name, &ret->type, &ret->verdict, &ret->time_msec, &ret->count);
}
