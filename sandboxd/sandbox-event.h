/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* What is told of sandboxes, and where from: each of these is called by the code that made it so, when it is so. */

#define EVENT_CREATED "sandbox.created"
#define EVENT_ERROR "sandbox.error"
#define EVENT_EXEC "sandbox.exec"
#define EVENT_EXPIRED "sandbox.expired"
#define EVENT_KILLED "sandbox.killed"
#define EVENT_LIMITED "sandbox.limited"
#define EVENT_PAUSED "sandbox.paused"
#define EVENT_RENEWED "sandbox.renewed"
#define EVENT_RESUMED "sandbox.resumed"

/* With the sandbox as data. */
void sandbox_event(Manager *m, const char *topic, const Sandbox *s);
/* s NULL: it was never made. text may be NULL, reason is one word. */
void sandbox_event_error(Manager *m, const Sandbox *s, const char *reason, const char *text);
/* A command has ended by itself. */
void sandbox_event_exec(const Command *c);

/* An end or a birth that an earlier process wrote down, and then had no time to tell, is told now. */
void sandbox_event_make_up(Manager *m, const char *topic, const Sandbox *s);
