/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* After a start (or a lost database) the records, what lives at execd and what lies at fsd are made one again:
 *
 *   record "creating"              nobody waits for it any more: ended, forgotten
 *   record without a scope         expired or ended with the machine: forgotten, counted
 *   scope labelled as warm         ended: a pool that a crash left
 *   scope without a record         adopted from its label, or ended when that is not whole
 *   root without either            removed
 *   command of a known sandbox     its pipes are read on, its status is stored and acknowledged */

typedef void (*ReconcileCallback)(void *userdata);

/* callback comes at once or later, also when a service does not answer: then the records are believed. */
void reconcile_start(Manager *m, ReconcileCallback callback, void *userdata);

/* What Commands() says is all there is. */
void reconcile_commands(Manager *m, sd_bus_message *reply);
/* After a broken connection: which sandboxes ended meanwhile. */
void reconcile_sandboxes(Manager *m);
/* A command that execd tells about and we do not know. */
void reconcile_stranger(Manager *m, const CommandStatus *status);
