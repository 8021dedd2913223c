/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/peer.h"

/* io.sandboxd.Hook1 as a function: requests into the network, which we have none of. */

typedef struct HookClient HookClient;

int hook_client_new(sd_event *event, const char *path, HookClient **ret);
HookClient *hook_client_free(HookClient *c);
DEFINE_CLEANUP(HookClient *, hook_client_free)

typedef struct HookPost {
        const char *url;
        char **headers;         /* name, value, name, value... */
        const char *body;
        uint64_t timeout_usec;
} HookPost;

/* The reply is (us): status and, where that is 0, why there was none. -EHOSTDOWN: nobody listens. */
int hook_post(HookClient *c, const HookPost *post, PeerCallback callback, void *userdata);
