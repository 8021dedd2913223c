/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Whether a port of the host is somebody's already. systemd would find out for TCP, with an error in the journal; for
 * UDP it would not, since it asks for SO_REUSEADDR and two may have a port then.
 *
 * > 0: taken; 0: free as far as it shows. Read from the tables of PID 1's network namespace, which is where the
 * listeners are made; our own has nothing. */
int host_port_is_taken(bool udp, const char *address, uint16_t port);

/* The same of one table's text, for tests. port is taken where the table has a listener (tcp) or any socket (udp) on
 * this address, on all addresses, or on any if address is the wildcard. v6: the text is of tcp6 or udp6. */
bool host_table_has(const char *text, bool udp, bool v6, const char *address, uint16_t port);

/* Some port of the dynamic range that seems free. -EADDRINUSE: none was found. */
int host_port_pick(bool udp, const char *address, uint16_t *ret);

/* The cookie of the network namespace of a process: unique until the next boot. */
int netns_cookie(pid_t pid, uint64_t *ret);
