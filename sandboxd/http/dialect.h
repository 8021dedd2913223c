/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/route.h"

/* The envelopes as data: what a status, an error name and a message look like to a client. */

extern const Dialect dialect_sandbox;
/* For paths of no dialect: {"code", "message"}. */
extern const Dialect dialect_none;

/* By prefix; dialect_none for no table. Never NULL. */
const Dialect *dialect_of_path(const RouteTable *tables, size_t n_tables, const char *path);
/* The dialect's row for an error, or what all dialects have in common; NULL: the default status, no detail shown. */
const ErrorRow *dialect_find_error(const Dialect *dialect, const char *name);
