/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* Languages and package managers: what is started for them, and which words of a client may be among its arguments.
 * Knows no HTTP and starts nothing. */

typedef struct Language {
        const char *name;
        const char *kernel;     /* what GET .../kernels calls it, and clients may */
        const char *extension;
        const char *command[4]; /* the file's path comes behind it */
        const char *manager;
        const char *driver;     /* file of pkglibdir/interpreters that keeps state; NULL: it cannot */
        const char *env[4];     /* where the sandbox says nothing of the same name */
} Language;

/* NULL with error filled, which names those there are. */
const Language *language_find(const char *name, sd_bus_error *error);
const Language *language_find_stateful(const char *name, sd_bus_error *error);

typedef struct PackageManager {
        const char *name;
        const char *command[8];
        const char *env[4];     /* the same */
        bool (*is_valid)(const char *package);
} PackageManager;

#define PACKAGES_MAX 100U

/* Its own name, or that of a language. */
const PackageManager *package_manager_find(const char *name, sd_bus_error *error);
int package_manager_make_argv(const PackageManager *p, char *const *packages, char ***ret, sd_bus_error *error);
