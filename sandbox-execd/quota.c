/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

/* By a descriptor instead of a device: there are none in our /dev. */
static int project_quota(int fd, int command, uint32_t project, struct if_dqblk *limits) {
        if (syscall(SYS_quotactl_fd, fd, QCMD((unsigned) command, PRJQUOTA), project, limits) >= 0)
                return 0;
        return errno == ENOSYS || errno == ESRCH ? -EOPNOTSUPP : -errno;
}

int quota_find_project(int fd, uint32_t *next, uint32_t *ret) {
        for (uint32_t i = 0; i < QUOTA_PROJECTS; i++) {
                uint32_t project = QUOTA_PROJECT_FIRST + (*next + i) % QUOTA_PROJECTS;
                struct if_dqblk have = {};
                int r;

                r = project_quota(fd, Q_GETQUOTA, project, &have);
                if (r < 0 && r != -ENOENT) /* on XFS one that never was */
                        return r;
                if (have.dqb_curspace > 0 || have.dqb_curinodes > 0 || have.dqb_bhardlimit > 0 ||
                    have.dqb_ihardlimit > 0)
                        continue;
                *next = (*next + i + 1) % QUOTA_PROJECTS;
                *ret = project;
                return 0;
        }
        return -ENOSPC;
}

int quota_set(int fd, uint32_t project, uint64_t bytes, uint64_t inodes) {
        struct if_dqblk limits = {
                .dqb_bhardlimit = bytes / KiB + !!(bytes % KiB),
                .dqb_ihardlimit = inodes,
                .dqb_valid = QIF_LIMITS,
        };

        return project_quota(fd, Q_SETQUOTA, project, &limits);
}

static int assign_one(int root_fd, const char *name, uint32_t project) {
        _cleanup_close_ int fd = -EBADF;
        struct fsxattr attributes;

        fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
                return -errno;
        attributes.fsx_projid = project;
        attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
        return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) < 0 ? -errno : 0;
}

static int get_project_as_owner(int directory_fd, uint32_t *ret) {
        _cleanup_close_ int fd = -EBADF;
        struct fsxattr attributes;

        fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
                return errno == ENOTTY || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
        *ret = attributes.fsx_projid >= QUOTA_PROJECT_FIRST &&
                               attributes.fsx_projid - QUOTA_PROJECT_FIRST < QUOTA_PROJECTS
                       ? attributes.fsx_projid
                       : 0;
        return 0;
}

int quota_get_project(int fd, uid_t owner, uint32_t *ret) {
        int r;

        (void) setfsuid(owner);
        r = get_project_as_owner(fd, ret);
        (void) setfsuid(0);
        (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return r;
}

int quota_assign_directory(int fd, uid_t owner, uint32_t project) {
        int r;

        (void) setfsuid(owner);
        r = assign_one(fd, ".", project);
        (void) setfsuid(0);
        (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return r;
}

int quota_get(int fd, uint32_t project, uint64_t *ret_used_bytes, uint64_t *ret_max_bytes) {
        struct if_dqblk have = {};
        int r;

        r = project_quota(fd, Q_GETQUOTA, project, &have);
        if (r < 0)
                return r;
        *ret_used_bytes = have.dqb_curspace;
        *ret_max_bytes = have.dqb_bhardlimit * KiB;
        return 0;
}

/* Four of ours, and what the overlay makes in two of them. */
#define DIRECTORIES_BYTES (64 * KiB)
#define DIRECTORIES_INODES 16U

/* Not lifted and put back: we might not get to the second. */
static int make_room(int fd, uint32_t project) {
        struct if_dqblk have = {};
        int r;

        r = project_quota(fd, Q_GETQUOTA, project, &have);
        if (r < 0)
                return r;
        if (have.dqb_bhardlimit > 0)
                have.dqb_bhardlimit = MAX(have.dqb_bhardlimit, (have.dqb_curspace + DIRECTORIES_BYTES) / KiB);
        if (have.dqb_ihardlimit > 0)
                have.dqb_ihardlimit = MAX(have.dqb_ihardlimit, have.dqb_curinodes + DIRECTORIES_INODES);
        have.dqb_valid = QIF_LIMITS;
        return project_quota(fd, Q_SETQUOTA, project, &have);
}

int quota_assign_more(int root_fd, uid_t owner, uint32_t project) {
        int r;

        r = make_room(root_fd, project);
        return r < 0 ? r : quota_assign(root_fd, owner, project);
}

int quota_assign(int root_fd, uid_t owner, uint32_t project) {
        static const char *const names[] = { "u", "u2", "w", "w2" };
        int r = 0;

        /* They are closed to everybody else, and only their owner may say what project they are. */
        (void) setfsuid(owner);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                r = assign_one(root_fd, names[i], project);
        (void) setfsuid(0);
        /* As after every change of the user: see layer.c. */
        (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return r;
}
