/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Where questions about names go: what the setting says, else the first name server of the host that can be reached
 * without being the host (a stub on its loopback cannot). *ret is 0 if there is none. -EINVAL: the setting is no address. */
int resolver_find(const char *setting, uint32_t *ret);
/* Of the text of a resolv.conf. 0: none. */
uint32_t resolver_parse(const char *text);
