/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Deadlines of sandboxes: one file each in DUE_DIRECTORY, named by the full id, with one line
 *   <deadline in usec of CLOCK_BOOTTIME> <cgroup path below the cgroup mount>
 * written by sandbox-execd, read by it and by sandbox-due (the program that systemd starts at the earliest of them).
 * The boot id need not stand in it: /run does not outlive the boot. */

#define DUE_FILE_MAX 512U

typedef struct DueEntry {
        char id[33];
        uint64_t deadline_usec;
        char cgroup[256];
} DueEntry;

/* Writes atomically; USEC_INFINITY removes the file. */
int due_write(int dir_fd, const DueEntry *entry);
int due_remove(int dir_fd, const char *id);
/* A bad file is -EBADMSG. */
int due_read(int dir_fd, const char *id, DueEntry *ret);
/* The one entry that is no sandbox's: when sandboxd wants to be started, CLOCK_BOOTTIME. USEC_INFINITY: not at all. */
int due_wake_write(int dir_fd, uint64_t usec);
int due_wake_read(int dir_fd, uint64_t *ret);
/* Calls handler for each valid entry; bad ones are counted in *ret_bad (may be NULL). */
int due_foreach(int dir_fd, int (*handler)(const DueEntry *entry, void *userdata), void *userdata, unsigned *ret_bad);
