/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* What clones of clones stand on gets deeper with each generation, and from some depth on it would have to be copied
 * while somebody waits. So it is copied before that, in the background: into one layer, on which their clones stand. */

typedef struct Flattener Flattener;

Flattener *flattener_free(Flattener *f);

/* Clones that were made of one source at one moment, and so stand on the same layers; source: as it does itself, or NULL.
 * Nothing happens if there are few layers. */
void flatten_add(Manager *m, Sandbox *source, Sandbox *const *clones, unsigned n, unsigned n_layers);
