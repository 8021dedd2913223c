/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* The drop-in of sandboxd.socket that moves the TCP port. addresses empty: both loopbacks. allow: prefixes that may
 * connect, for addresses beyond loopback; empty: any. -EINVAL: *ret_bad is no address. *ret is owned. */
int listen_dropin(uint32_t port, char *const *addresses, char *const *allow, char **ret, const char **ret_bad);
bool address_is_loopback(const char *address);
