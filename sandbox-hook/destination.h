/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/socket.h>

#include "libsandbox/macro.h"

/* Whom we may connect to. Whoever may make a webhook names its URL, and must not reach by it what only this machine and
 * its network can: so addresses that do not stand for one host of the public internet are refused, unless a rule names
 * the host or a network around the address. No I/O. */

typedef struct DestinationRules DestinationRules;

/* A comma list of host names, addresses and networks ("10.0.0.0/8"). -EINVAL: a word that is none of these. */
int destination_rules_new(const char *list, DestinationRules **ret);
DestinationRules *destination_rules_free(DestinationRules *rules);
DEFINE_CLEANUP(DestinationRules *, destination_rules_free)

/* host: as the URL has it, before it was resolved; address: what will be, or was, connected to. */
bool destination_is_allowed(const DestinationRules *rules, const char *host, const struct sockaddr *address);
