/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* POST requests to servers of other people, many at a time in one loop. Redirects are not followed, proxies of the
 * environment not used, TLS is checked with the system's authorities, and whom we connect to with the rules, after
 * names were resolved. What a server answers is its status: of the body no more than 4 KiB is waited for, and none is
 * kept. */

typedef struct TransferPool TransferPool;

#define TRANSFERS_MAX 512U
#define TRANSFER_BODY_MAX (1 * MiB)

/* status 0: there was no answer, and error says why. */
typedef void (*TransferCallback)(unsigned status, const char *error, void *userdata);

typedef struct TransferOptions {
        const char *url;
        char **headers;         /* "Name: value" */
        const void *body;
        size_t n_body;
        uint64_t timeout_usec;
        TransferCallback callback;
        void *userdata;
} TransferOptions;

/* allow: destination_rules_new(). */
int transfer_pool_new(sd_event *event, const char *allow, TransferPool **ret);
/* Callbacks of transfers under way are not called any more: the program ends. */
TransferPool *transfer_pool_free(TransferPool *p);
DEFINE_CLEANUP(TransferPool *, transfer_pool_free)
/* For connections from now on, and for new requests over those that are open. */
int transfer_pool_set_allow(TransferPool *p, const char *allow);

/* Everything is copied. The callback comes from the loop, once. -EBUSY: TRANSFERS_MAX are under way. */
int transfer_start(TransferPool *p, const TransferOptions *options);
