/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/command.h"

/* What the command*.c files share. */

/* Makes its stdin. */
int command_open_input(Command *c, const CommandInput *input);
/* on_failed(), and it is dropped. */
void command_fail(Command *c, const sd_bus_error *error);
/* (job) Its start was answered with error: finds out whether it runs. < 0: it does not. */
int command_look_up(Command *c, const sd_bus_error *error);
