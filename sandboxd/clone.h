/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/create.h"
#include "sandboxd/snapshot.h"

/* New sandboxes that begin with the files of another one, or of a snapshot. Of an idle one these are shared where they
 * lie; while something runs in it they are copied, in a moment in which it stands still. */

#define CLONES_MAX 100

typedef struct CloneRequest {
        Sandbox *source;        /* NULL: snapshot */
        const json_t *snapshot; /* a record; borrowed until clone_start() returns */
        const char *name;       /* NULL: their ids */
        unsigned n;
        CreateNamed on_named;   /* of the first; may be NULL */
} CloneRequest;

/* All of them, or none and an error. */
typedef void (*CloneCallback)(Sandbox *const *clones, unsigned n, const sd_bus_error *error, void *userdata);

int clone_start(Manager *m, const CloneRequest *request, CloneCallback callback, void *userdata, sd_bus_error *error);
