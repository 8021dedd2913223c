/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"

/* --watch: a verb that shows something shows it again and again. */

extern uint64_t arg_watch; /* seconds; 0: once */

#define WATCH_OPTION                                                                               \
        { 0, "watch", "SECONDS", OPTION_INTERVAL, &arg_watch, "Show it again every 2 or so many seconds; q ends" }

/* show prints to c->out. It is called once, or until it fails: its status is the result. */
int watch_run(Ctl *c, char **words, int (*show)(Ctl *c, char **words));
