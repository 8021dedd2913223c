/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/hook-client.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/bus-names.h"

/* Thin on purpose, as fsd-client.c. A request is not repeated here: whether it has reached its receiver nobody knows,
 * and when to try again is the delivery's business. */

struct HookClient {
        Peer *peer;
};

int hook_client_new(sd_event *event, const char *path, HookClient **ret) {
        _cleanup_(hook_client_freep) HookClient *c = new0(HookClient, 1);
        int r;

        if (!c)
                return -ENOMEM;
        r = peer_new(&(PeerOptions) { .event = event, .path = path, .object = HOOK_OBJECT }, &c->peer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

HookClient *hook_client_free(HookClient *c) {
        if (c) {
                peer_free(c->peer);
                free(c);
        }
        return NULL;
}

static int append_headers(sd_bus_message *m, char *const *headers) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ss)");
        for (size_t i = 0; r >= 0 && headers && headers[i]; i += 2)
                r = sd_bus_message_append(m, "(ss)", headers[i], headers[i + 1]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int hook_post(HookClient *c, const HookPost *post, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = peer_message(c->peer, HOOK_INTERFACE, "Post", &m);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', post->url);
        if (r >= 0)
                r = append_headers(m, post->headers);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', post->body, strlen(post->body));
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 't', &post->timeout_usec);
        /* sandbox-hook keeps the time; should it hang itself, systemd's watchdog ends it. */
        return r < 0 ? r : peer_send(c->peer, m, PEER_SLOW, callback, userdata);
}
