/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "sandbox-execd/systemd-client.h"

/* The directories of scopes that have ended, until they are gone. Removing them is systemd's business, and what stands
 * below is removed by us at the same time. But when one of these vanishes between its opening and its reading systemd
 * (257) gives up and forgets the unit: an empty directory would stay until the next boot. */
typedef struct Leftovers Leftovers;

int leftovers_new(sd_event *event, SystemdClient *systemd, int cgroup_root_fd, Leftovers **ret);
Leftovers *leftovers_free(Leftovers *l);
DEFINE_CLEANUP(Leftovers *, leftovers_free)

/* Nothing runs in there any more. It is looked for in a moment, which is systemd's time. */
void leftovers_add(Leftovers *l, const char *cgroup_path);
bool leftovers_pending(const Leftovers *l);
/* Called whenever the last one is gone. */
void leftovers_on_none(Leftovers *l, void (*handler)(void *userdata), void *userdata);
