/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Who reads along what the background commands of a sandbox write is told that there is more; what it is stands in their
 * spools. Free of cost where nobody does. */
typedef struct LogWatch LogWatch;

int log_watch_new(Manager *m, Sandbox *s, void (*wake)(void *userdata), void *userdata, LogWatch **ret);
LogWatch *log_watch_free(LogWatch *w);

/* A command of it began, wrote or ended. */
void log_watch_wake(Manager *m, const Sandbox *s);
/* The same for output that is about to be kept: when it came is remembered, by the place where it begins. */
void log_watch_note(Command *c);
