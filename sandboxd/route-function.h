/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/route.h"

/* The name of what a route does, as traces have it: "sandbox::create", "fs::read", "sandbox::exec". It is made of the
 * path: a new route needs no row anywhere, but for the few whose path does not say it. */
void route_function(const RouteTable *table, const Route *route, char ret[64]);
