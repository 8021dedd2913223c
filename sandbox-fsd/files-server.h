/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "sandbox-fsd/file-path.h"

/* Files1 of one sandbox on one connection. Calls are served one after the other and may block: a busy worker gets a
 * sibling. */
typedef struct FilesServer {
        FileRoot root;
} FilesServer;

extern const sd_bus_vtable files_vtable[];

int files_server_attach(FilesServer *s, sd_bus *bus);

/* Uid and gid of an object path: FSD_OBJECT itself is root. -ENOENT: no object of ours. */
int files_path_to_user(const char *object_path, uid_t *ret_uid, gid_t *ret_gid);
/* Fills error for a failed call on path and returns its errno. */
int files_error(sd_bus_error *error, int r, const char *path);
