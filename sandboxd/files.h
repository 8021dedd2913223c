/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* Files of a sandbox for our own needs, as its root: what the file routes do for clients, without a request. */

typedef struct FileContent {
        const char *path;       /* absolute inside */
        uint32_t mode;          /* of a new file */
        const char *data;
        size_t n;
} FileContent;

/* Which method of Files1 takes so much, and its arguments behind the id. A file that is there keeps its mode. */
const char *files_write_member(size_t n);
int files_append_content(sd_bus_message *m, const FileContent *content);

int files_write(Manager *m, const Sandbox *s, const FileContent *content, PeerCallback callback, void *userdata);
/* The reply is that of Read(): "htut". */
int files_read(Manager *m, const Sandbox *s, const char *path, PeerCallback callback, void *userdata);
/* Nobody wants to know. */
void files_remove(Manager *m, const Sandbox *s, const char *path);
