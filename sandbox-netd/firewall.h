/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/address.h"
#include "sandbox-netd/egress.h"

/* One table of rules of our own, "inet sandboxd". It names interfaces by the beginning of their names and networks by
 * groups of interfaces, so it is the same for one sandbox and for a thousand, and never changes while they come and go:
 * what of a sandbox alone is, its list, are elements of sets.
 * Tables of others are not looked at: a packet has to pass theirs, too. */

typedef struct Firewall Firewall;

typedef struct FirewallSpec {
        Prefix range, private;
        uint32_t resolver;      /* 0: none */
        const Prefix *allowed;  /* what may be reached though it is guarded */
        size_t n_allowed;
} FirewallSpec;

int firewall_new(Firewall **ret);
Firewall *firewall_free(Firewall *f);
DEFINE_CLEANUP(Firewall *, firewall_free)

/* The rules as text. Made of numbers only. */
int firewall_format(const FirewallSpec *spec, char **ret);
/* The table is there, and is the one that these rules make; else it is made anew with all lists, in one step. */
int firewall_ensure(Firewall *f, const FirewallSpec *spec, EgressLists *lists, sd_bus_error *error);
/* The same in any case: the kernel does not have what it should. */
int firewall_rebuild(Firewall *f, const FirewallSpec *spec, EgressLists *lists, sd_bus_error *error);
/* Commands in nft's language, in one step: all or -EIO. */
int firewall_run(Firewall *f, const char *commands);
/* What one command prints. -ENOENT: it failed. */
int firewall_list(Firewall *f, const char *command, char **ret);
