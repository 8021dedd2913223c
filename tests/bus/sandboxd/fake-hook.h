/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

#define FAKE_HOOK_POSTS_MAX 512U

typedef struct FakePost {
        char *url, *body, *headers; /* headers: a line each */
        sd_bus_message *call;       /* not answered yet */
} FakePost;

/* io.sandboxd.Hook1: writes down what it is to send, and answers what the test wants. */
typedef struct FakeHook {
        Service *service;
        BusServer *server;
        int listen_fd;
        char path[108];
        FakePost posts[FAKE_HOOK_POSTS_MAX];
        size_t n_posts;
        unsigned status;        /* of the next answers; 0: error says why there is none */
        const char *error;
        const char *deaf_url;   /* what goes there is not answered */
        unsigned n_failures;    /* so many are answered with 500 first */
        bool cut;               /* the next call ends the connection */
} FakeHook;

void fake_hook_start(FakeHook *f, Service *service, const char *directory);
void fake_hook_stop(FakeHook *f);
/* "" if there is none. */
const char *fake_post_header(const FakePost *p, const char *name, char ret[256]);
