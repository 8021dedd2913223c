/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Bounds of what a sandbox writes on disk: its writable directory is a project of its own, and the file system counts
 * and limits what belongs to a project. Inside, statvfs() shows the bounds as those of the file system. */

/* Ours; those of administrators, in /etc/projid, are small. One of it is free while nothing belongs to it and it has
 * no limits. */
#define QUOTA_PROJECT_FIRST UINT32_C(0x40000000)
#define QUOTA_PROJECTS UINT32_C(0x10000)

/* fd is any descriptor on the file system. The search starts at *next and leaves it behind the one that was found, so
 * that a project rests before its next owner. -EOPNOTSUPP: there are no project quotas. */
int quota_find_project(int fd, uint32_t *next, uint32_t *ret);
/* Zero takes a limit back; with both gone, the project is forgotten as soon as nothing belongs to it any more. */
int quota_set(int fd, uint32_t project, uint64_t bytes, uint64_t inodes);
/* The project of a directory, which its owner reads; 0: none of ours. */
int quota_get_project(int fd, uid_t owner, uint32_t *ret);
/* Makes the directory and all that is made in it the project's. */
int quota_assign_directory(int fd, uid_t owner, uint32_t project);
int quota_get(int fd, uint32_t project, uint64_t *ret_used_bytes, uint64_t *ret_max_bytes);
/* Makes the directories of a writable directory, which belong to owner, the project's, and all that is made in them. */
int quota_assign(int root_fd, uid_t owner, uint32_t project);
/* The same for a project that may be full: its bounds grow by what the directories themselves take. */
int quota_assign_more(int root_fd, uid_t owner, uint32_t project);
