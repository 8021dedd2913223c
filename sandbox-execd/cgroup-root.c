/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "libsandbox/fd-util.h"
#include "sandbox-execd/cgroup-mounts.h"

int cgroup2_root_open(void) {
        /* The two places where systemd mounts it: unified and hybrid. */
        static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_close_ int fd = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
                struct statfs st;

                if (fd >= 0 && fstatfs(fd, &st) >= 0 && st.f_type == CGROUP2_SUPER_MAGIC)
                        return TAKE_FD(fd);
        }
        return -ENODEV;
}
