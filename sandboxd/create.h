/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Creation: an id from execd, a record, a root from fsd, a life from execd. A failure at any step takes the earlier
 * ones back. One that fits a warm sandbox takes that: then there is one question to execd and one record. */

/* It has an id now, and its record is being written in the same transaction. */
typedef void (*CreateNamed)(const char *public_id, void *userdata);

typedef struct CreateRequest {
        const char *name, *image;       /* name NULL: the id */
        const char *base;               /* what fsd knows the image as; NULL: the same */
        const char *source;             /* id of a sandbox whose files it gets: those of before that generation */
        uint32_t generation;
        const char *snapshot;           /* or of a snapshot */
        json_t *config, *metadata, *entrypoint, *secrets, *env, *proxy; /* taken over, also on failure */
        uint64_t timeout_sec;
        bool network;
        CreateNamed on_named;           /* may be NULL; perhaps called again, with another id */
        bool warm;                      /* for the pool: no record, no count, no client */
} CreateRequest;

/* error NULL: it runs. */
typedef void (*CreateCallback)(Sandbox *s, const sd_bus_error *error, void *userdata);

/* -EBUSY with error: the limit. The place is taken at once, so that no race can pass the limit. */
int create_start(Manager *m, const CreateRequest *request, CreateCallback callback, void *userdata,
                 sd_bus_error *error);
