/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/stat.h>

#include "libsandbox/macro.h"

/* The only way to a file of a sandbox: openat2() from the descriptor of its root. Links resolve inside that root,
 * magic links do not resolve at all. Functions return a negative errno; file_error() gives it a name. */

#define FILE_PATH_MAX 4095U
#define FILE_NAME_MAX 255U

typedef struct FileRoot {
        int fd;
        uint64_t dev_mount; /* mount id of the sandbox's /dev; 0: it has none of its own */
} FileRoot;

#define FILE_ROOT_NULL ((FileRoot) { .fd = -EBADF })

/* Takes the descriptor over. */
int file_root_init(FileRoot *ret, int fd);
void file_root_done(FileRoot *root);

/* Absolute, not over-long. -EINVAL: empty; -EXDEV: relative; -ENAMETOOLONG. */
int file_path_check(const char *path);
/* Parent and last name, for calls that work on an entry and not on what it is. Trailing slashes do not count.
 * -EPERM: "/" has no name; -EINVAL: "." or ".." at the end. */
int file_path_split(const char *path, char **ret_parent, char **ret_name);
/* "/a" + "b" = "/a/b"; "/" + "b" = "/b" */
char *file_path_join(const char *directory, const char *name);

/* flags as for open(); O_CLOEXEC, O_NOCTTY and O_NONBLOCK are added. -EPERM: in /dev or a kernel file system. */
int file_open(const FileRoot *root, const char *path, int flags);
/* O_PATH descriptor of the directory that holds the entry, and the entry's name. */
int file_open_parent(const FileRoot *root, const char *path, int *ret_fd, char **ret_name);
/* A regular file, checked before it is opened and again after. -EISDIR: directory; -ENXIO: something else. */
int file_open_regular(const FileRoot *root, const char *path, struct stat *ret_st);
/* Whatever lies at fd must not be of /dev or of a kernel file system. */
int file_root_check(const FileRoot *root, int fd);
/* One name below directory_fd, never through a link or a mount. */
int file_open_child(int directory_fd, const char *name, int flags);
/* Before an entry is moved or removed: what it is. -EBUSY: a mount is attached to it. */
int file_check_entry(int directory_fd, const char *name, struct stat *ret_st);
