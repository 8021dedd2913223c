/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/cgroup-mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <stdio.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* On a hybrid host some controllers sit in trees of their own, of the first version. We never make groups there; but
 * systemd does, for our scopes, and what it accounts can be read: so statistics have a source where the unified tree
 * has none. They are found once, by the mount table, since nothing says that they lie below /sys/fs/cgroup. */

static const char *const v1_options[] = {
        [CGROUP_V1_CPU] = "cpuacct",
        [CGROUP_V1_MEMORY] = "memory",
        [CGROUP_V1_PIDS] = "pids",
        [CGROUP_V1_BLKIO] = "blkio",
};

static int take_v1(struct libmnt_table *table, char *ret_v1[_CGROUP_V1_MAX]) {
        struct libmnt_iter *iterator = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *entry;
        int r = 0;

        if (!iterator)
                return -ENOMEM;
        while (r >= 0 && mnt_table_next_fs(table, iterator, &entry) == 0) {
                if (!streq_ptr(mnt_fs_get_fstype(entry), "cgroup"))
                        continue;
                for (size_t i = 0; i < _CGROUP_V1_MAX; i++)
                        if (mnt_fs_match_options(entry, v1_options[i]) && !ret_v1[i])
                                r = free_and_strdup(&ret_v1[i], mnt_fs_get_target(entry));
        }
        mnt_free_iter(iterator);
        return r;
}

int cgroup_mounts_parse(const char *mountinfo, char *ret_v1[_CGROUP_V1_MAX]) {
        struct libmnt_table *table;
        FILE *f;
        int r;

        f = fmemopen((void *) mountinfo, strlen(mountinfo), "re");
        if (!f)
                return -errno;
        table = mnt_new_table();
        r = !table ? -ENOMEM : mnt_table_parse_stream(table, f, "mountinfo") < 0 ? -EBADMSG : take_v1(table, ret_v1);
        mnt_unref_table(table);
        fclose(f);
        return r;
}

/* A tree that cannot be opened is one that is not there: its figures are missing, sandboxes run. */
int cgroup_mounts_find(CgroupMounts *ret) {
        _cleanup_free_ char *mountinfo = NULL;
        char *v1[_CGROUP_V1_MAX] = {};
        int r;

        *ret = CGROUP_MOUNTS_NULL;
        ret->root_fd = cgroup2_root_open();
        if (ret->root_fd < 0)
                return log_error_errno(ret->root_fd, "No cgroup2 tree is mounted: %m");

        r = read_text_at(AT_FDCWD, "/proc/self/mountinfo", 4 * MiB, &mountinfo);
        if (r >= 0)
                r = cgroup_mounts_parse(mountinfo, v1);
        if (r < 0)
                return log_error_errno(r, "Failed to read the table of mounts: %m");

        for (size_t i = 0; i < _CGROUP_V1_MAX; i++) {
                if (v1[i])
                        ret->v1_fds[i] = open(v1[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
                free(v1[i]);
        }
        return 0;
}

void cgroup_mounts_done(CgroupMounts *m) {
        m->root_fd = safe_close(m->root_fd);
        close_many(m->v1_fds, _CGROUP_V1_MAX);
}
