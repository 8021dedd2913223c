/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "libsandbox/macro.h"

/* The processes that this daemon starts: the init of a sandbox, the file worker of a sandbox, and a process that only
 * owns a user namespace for a moment. All are cloned in the way of vfork(), and with the descriptor table shared until
 * the child takes a copy of its first entries: with thousands of descriptors open, copying the whole table would cost
 * more than everything else. So whatever a child needs is moved to fixed low numbers first. */

/* Reserves the numbers and opens the two programs. To be called before anything else opens descriptors. */
int spawn_setup(const char *init_path, const char *files_path);

typedef struct SpawnResult {
        pid_t pid;
        int pidfd;
} SpawnResult;

/* In new pid, user, mount, UTS, IPC and network namespaces, with all capabilities over them as ambient ones (nothing is
 * mapped yet, so exec would drop them otherwise), with listen_fd and a procfs mount as its only descriptors. */
int spawn_init(int listen_fd, SpawnResult *ret);
/* In the cgroup, with bus_fd, user_fd and mount_fd as descriptors 3, 4, 5. */
int spawn_file_worker(int cgroup_fd, int bus_fd, int user_fd, int mount_fd, SpawnResult *ret);
/* Calls the function in a child, in the cgroup if there is one, and waits. It shares our memory and our descriptors, so
 * that what it opens is ours; it may change its ids and namespaces, and do what is fit for a child of vfork(). */
int spawn_run(int cgroup_fd, int (*function)(void *), void *argument);
/* Begins function(fd, argument) as root of a sandbox, in its user and mount namespaces, in a process that exits with what
 * it returns, as a positive errno. It has a copy of our memory and no descriptor but that one (< 0: none), and is in no
 * cgroup and no pid namespace of the sandbox, which therefore can neither see nor end it; but whose directories it looks
 * into, he can have it wait there: so nobody may wait for it in turn. */
typedef struct SpawnInside {
        int user_fd, mount_fd, fd; /* borrowed */
        int (*function)(int fd, const void *argument);
        const void *argument;
} SpawnInside;

int spawn_inside(const SpawnInside *inside, SpawnResult *ret);
/* A user namespace that maps size ids from inside to outside, for idmapped mounts. No process is left in it. */
int spawn_user_namespace(uint32_t inside, uint32_t outside, uint32_t size);
/* In the cgroup, in the two namespaces: copies the n_sources directories, topmost first, into target as one layer, and
 * writes the result to result_fd (layer-copy.h). All descriptors are borrowed. */
typedef struct SpawnCopy {
        int cgroup_fd, user_fd, mount_fd, result_fd, target_fd;
        int below_fds[2];       /* layers of the image for / and /usr; < 0: none */
        const int *sources;
        size_t n_sources;
        uint64_t bytes_max;
} SpawnCopy;

int spawn_copy(const SpawnCopy *copy, SpawnResult *ret);
/* "inside outside size" to both maps of the process. */
int spawn_write_maps(pid_t pid, uint32_t inside, uint32_t outside, uint32_t size);
