/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "libsandbox/init-protocol.h"
#include "libsandbox/macro.h"

/* The connection to the init of one sandbox. Nothing blocks: what the socket does not take is queued. */
typedef struct InitClient InitClient;

typedef struct InitClientOptions {
        sd_event *event;
        const char *path;
        void (*on_hello)(const InitHello *hello, void *userdata);
        void (*on_command)(const InitCommand *command, void *userdata);
        /* Init is gone, or no init of ours. Called once; all open requests have been answered with an error by then. */
        void (*on_lost)(int error, void *userdata);
        void *userdata;
} InitClientOptions;

/* error is 0 or a negative errno: the reply's own, or -ECONNRESET when there will be none; reply is NULL then. Received
 * descriptors belong to the handler as far as it takes them out of fds; the rest is closed behind it. */
typedef void (*InitReplyHandler)(int error, const InitReply *reply, int *fds, size_t n_fds, void *userdata);

int init_client_new(const InitClientOptions *options, InitClient **ret);
/* Open requests are answered with -ECONNRESET. */
InitClient *init_client_free(InitClient *c);
DEFINE_CLEANUP(InitClient *, init_client_free)

/* Sends a message that begins with an InitHeader; its sequence is filled in. The descriptors stay the caller's. handler
 * NULL: init does not answer this one. */
int init_client_call(InitClient *c, void *message, size_t size, const int *fds, size_t n_fds,
                     InitReplyHandler handler, void *userdata);
/* A request without a body or descriptors. */
int init_client_call_simple(InitClient *c, InitOperation operation, InitReplyHandler handler, void *userdata);
