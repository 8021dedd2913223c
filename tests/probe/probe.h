/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

/* Prints PASS, or FAIL and what was found, and remembers that one failed. */
void check(bool good, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The text of a file, in a buffer that the next call uses again; "" if it cannot be read. */
const char *slurp(const char *path);

/* probe-files.c */
void check_dev(void);
void check_proc_files(void);
void check_mounts(void);

/* probe-calls.c */
void check_namespaces(void);
void check_refused_calls(void);
void check_foreign_abis(void);
void check_sockets(void);
void check_interfaces(void);
