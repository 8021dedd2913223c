/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* Settings of the kernel that we live with as they are, and that make what a sandbox could break out by smaller. We do
 * not set them: they are the whole machine's, and another program may need them otherwise. */

const DoctorSysctl doctor_sysctls[] = {
        { "dev.tty.legacy_tiocsti", 0, 0, "0", "no program types into another one's terminal" },
        { "fs.inotify.max_user_instances", 1 << 20, INT64_MAX, "1048576 or more",
          "what sandboxes have is counted as the host's root's, too: their memory should end first" },
        { "kernel.dmesg_restrict", 1, INT64_MAX, "1", "the kernel's log tells addresses and names" },
        { "kernel.io_uring_disabled", 2, 2, "2", "io_uring passes by the system call filter" },
        { "kernel.kptr_restrict", 1, INT64_MAX, "1 or 2", "kernel addresses help those who break out" },
        { "kernel.unprivileged_bpf_disabled", 1, INT64_MAX, "1 or 2", "bpf() has been a way out more than once" },
        { "kernel.yama.ptrace_scope", 1, INT64_MAX, "1 or more", "processes of one user stay apart" },
        { "vm.panic_on_oom", 0, 0, "0", "a sandbox that uses up its memory must not take the host along" },
        { "vm.unprivileged_userfaultfd", 0, 0, "0", "makes kernel races easy to win" },
};
const size_t n_doctor_sysctls = ELEMENTSOF(doctor_sysctls);

void doctor_sysctl_run(const DoctorSysctl *s, const char *proc, DoctorResult *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int64_t value;
        int r;

        if (asprintf(&path, "%s/sys/%s", proc, s->name) < 0)
                return;
        for (char *p = path + strlen(proc) + strlen("/sys/"); (p = strchr(p, '.')); )
                *p = '/';

        r = read_text_at(AT_FDCWD, path, 64, &text);
        if (r == -ENOENT) {
                (void) snprintf(ret->found, sizeof ret->found, "not in this kernel");
                return;
        }
        if (r >= 0)
                r = parse_i64(text, &value);
        if (r < 0) {
                ret->level = DOCTOR_WARN;
                (void) snprintf(ret->found, sizeof ret->found, "cannot be read: %s", strerror(-r));
                return;
        }
        (void) snprintf(ret->found, sizeof ret->found, "%" PRIi64, value);
        if (value < s->minimum || value > s->maximum)
                ret->level = DOCTOR_WARN;
}
