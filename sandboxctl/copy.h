/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"
#include "sandboxctl/progress.h"

/* Copies between this machine and one sandbox, by the API's raw file routes: contents are streamed, never held. What
 * a sandbox says about its files is not trusted: names that lead out of the target are refused, links are not followed,
 * neither theirs nor ours below the target. All functions return an ExitStatus. */
typedef struct Copy {
        Ctl *ctl;
        const char *sandbox;     /* id */
        bool recursive;
        Progress progress;
} Copy;

typedef struct RemoteFile {
        bool exists;             /* and the server says so: some describe only what is in the workspace */
        bool is_directory, is_link;
} RemoteFile;

/* A missing file is no error here, nor one that the server does not speak about. */
int copy_stat(Copy *c, const char *remote, RemoteFile *ret);
/* From "-", a file or (recursive) a directory to exactly this path in the sandbox. */
int copy_upload(Copy *c, const char *local, const char *remote);
int copy_upload_fd(Copy *c, int fd, const char *remote);
/* To "-" or exactly this local path. */
int copy_download(Copy *c, const char *remote, const char *local);
int copy_download_fd(Copy *c, const char *remote, int fd);

/* copy-parts.c: a regular file, gone on with where a connection breaks, or the server ends and comes back. Smaller ones
 * are sent again at once as a whole, which costs less than to ask. */
#define COPY_PARTS_MIN (8 * MiB)

/* EXIT_STATUS_USAGE and *ret_whole: this server takes it only as a whole. */
int copy_upload_parts(Copy *c, int fd, const char *remote, uint64_t size, mode_t mode, bool *ret_whole);
/* To where fd stands; *ret_mode: octal digits, or NULL. */
int copy_download_parts(Copy *c, const char *remote, const char *path, int fd, char **ret_mode);

/* copy-tree.c */
int copy_upload_tree(Copy *c, int directory_fd, const char *remote);
int copy_download_tree(Copy *c, const char *remote, const char *local);
/* One regular file below an open directory, which is owned by the caller. */
int copy_download_at(Copy *c, const char *remote, int directory_fd, const char *name);
