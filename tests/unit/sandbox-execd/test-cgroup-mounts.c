/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "sandbox-execd/cgroup-mounts.h"
#include "tests/test.h"

static const char hybrid[] =
        "24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "25 24 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
        "26 24 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
        "27 24 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "28 24 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "29 24 0:27 / /mnt/with\\040space rw - cgroup cgroup rw,pids\n";

static void release(char *v1[_CGROUP_V1_MAX]) {
        for (size_t i = 0; i < _CGROUP_V1_MAX; i++)
                v1[i] = mfree(v1[i]);
}

TEST(parse_hybrid) {
        char *v1[_CGROUP_V1_MAX] = {};

        ASSERT_OK(cgroup_mounts_parse(hybrid, v1));
        ASSERT_STREQ(v1[CGROUP_V1_CPU], "/sys/fs/cgroup/cpu,cpuacct");
        ASSERT_STREQ(v1[CGROUP_V1_MEMORY], "/sys/fs/cgroup/memory");
        ASSERT_STREQ(v1[CGROUP_V1_PIDS], "/mnt/with space");
        ASSERT_NULL(v1[CGROUP_V1_BLKIO]);
        release(v1);
}

TEST(parse_unified) {
        char *v1[_CGROUP_V1_MAX] = {};

        ASSERT_OK(cgroup_mounts_parse("25 24 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,memory_recursiveprot\n", v1));
        for (size_t i = 0; i < _CGROUP_V1_MAX; i++)
                ASSERT_NULL(v1[i]);
}
