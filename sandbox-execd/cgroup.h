/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "libsandbox/macro.h"

/* Operations on directories of the cgroup2 tree, always relative to a descriptor. Paths are as systemd writes them, with
 * a leading slash, below the mount point. */

#define CGROUP_NAME_COPY "copy"
#define CGROUP_NAME_FLATTEN "flatten"
#define CGROUP_NAME_INIT "init"
#define CGROUP_NAME_FILES "files"
#define CGROUP_NAME_RUN "run"

/* "/sandbox.slice/sandbox-<n>.slice/<scope>"; -ENAMETOOLONG */
int cgroup_scope_path(unsigned slice, const char *scope, char *ret, size_t size);
/* An O_PATH descriptor. */
int cgroup_open(int root_fd, const char *path);
/* Makes the directory; one that exists already is fine. */
int cgroup_make(int dir_fd, const char *name);
/* Removes a directory and what is below it; -EBUSY while processes live in it, 0 if it is gone already. */
int cgroup_remove_tree(int dir_fd, const char *name);
/* Turns on for the children whatever this directory offers; 0 when nothing is offered. */
int cgroup_enable_controllers(int dir_fd);
/* Gives one control file to the sandbox's root. */
int cgroup_give(int dir_fd, const char *file, uid_t uid);
/* Both the sandbox and we may write it. */
int cgroup_share(int dir_fd, const char *file, uid_t uid);
int cgroup_kill(int dir_fd);
/* 1 or 0; a directory that is gone is not populated. */
int cgroup_is_populated(int dir_fd);
/* Calls handler when cgroup.events changes. The source owns its descriptor. */
int cgroup_watch(sd_event *event, int dir_fd, sd_event_io_handler_t handler, void *userdata, sd_event_source **ret);
/* What the watched file says now. Only a file that has been read since tells of its next change. */
int cgroup_watch_populated(sd_event_source *source);
/* One number of a file; "max" is UINT64_MAX. -ENOENT: no such controller here. */
int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret);
/* The number behind a key of a "key value" file. */
int cgroup_read_key(int dir_fd, const char *file, const char *key, uint64_t *ret);
/* The pids of a directory without its children, as a malloc'ed array. */
int cgroup_read_pids(int dir_fd, const char *file, pid_t **ret, size_t *ret_n);

/* Parsers of the files' texts. */
int cgroup_parse_key(const char *text, const char *key, uint64_t *ret);
int cgroup_parse_u64(const char *text, uint64_t *ret);
/* Sums rbytes= and wbytes= over all devices of io.stat. */
int cgroup_parse_io_stat(const char *text, uint64_t *ret_read, uint64_t *ret_write);
/* "cpu io memory" -> "+cpu +io +memory"; -ENODATA when there is none. */
int cgroup_parse_controllers(const char *text, char **ret);
