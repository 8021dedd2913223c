/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-execd/init-client.h"
#include "sandbox-execd/sandbox.h"

/* The step "layers": clones all that Create() was given into s->trees, in the order that INIT_ROOT wants. */
int root_clone_layers(Sandbox *s);
/* Sends INIT_ROOT; 0 if on its way. */
int root_send(Sandbox *s, InitReplyHandler handler);
/* Checks the spec and the layers of a Create() before anything is done for it. */
int root_check(const CreateRequest *q, sd_bus_error *error);
