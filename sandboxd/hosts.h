/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/network.h"

/* /etc/hosts of a member names the others of its networks, between two marks; what else stands there is the sandbox's
 * own. Writing is best effort: an address works without a name. The callback comes in any case. */
int hosts_update(Manager *m, Sandbox *s, void (*callback)(void *userdata), void *userdata);

/* The file as it should be. block may be "". */
int hosts_merge(const char *text, size_t n, const char *block, char **ret);
