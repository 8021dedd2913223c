/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* A filter of the size that container engines use: about 300 calls allowed by number, all others refused, and the
 * 32-bit architectures of the machine beside its own. libseccomp's usual, linear form, as the engines load it. */

#define CALLS_MAX 470

static const char *const refused[] = {
        "acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "create_module", "delete_module",
        "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms",
        "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie",
        "mbind", "modify_ldt", "mount", "mount_setattr", "move_mount", "move_pages", "nfsservctl",
        "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "query_module", "quotactl",
        "quotactl_fd", "reboot", "request_key", "set_mempolicy", "setdomainname", "sethostname", "setns",
        "settimeofday", "swapoff", "swapon", "sysfs", "syslog", "umount", "umount2", "unshare", "uselib",
        "userfaultfd", "ustat", "vhangup",
};

static bool is_refused(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                if (streq(refused[i], name))
                        return true;
        return false;
}

static int foreach_allowed(int (*call)(int number, const char *name, void *userdata), void *userdata) {
        for (int i = 0; i < CALLS_MAX; i++) {
                char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
                int r = name && !is_refused(name) ? call(i, name, userdata) : 0;

                free(name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_rule(int number, const char *name, void *userdata) {
        (void) name;
        return seccomp_rule_add(userdata, SCMP_ACT_ALLOW, number, 0);
}

int filter_open(void) {
        scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
        int r;

        if (!c || fd < 0) {
                seccomp_release(c);
                return -ENOMEM;
        }
        r = 0;
        if (seccomp_arch_native() == SCMP_ARCH_X86_64) {
                r = seccomp_arch_add(c, SCMP_ARCH_X86);
                if (r >= 0)
                        r = seccomp_arch_add(c, SCMP_ARCH_X32);
        }
        if (r >= 0)
                r = foreach_allowed(add_rule, c);
        if (r >= 0)
                r = seccomp_export_bpf(c, fd);
        seccomp_release(c);
        return r < 0 ? r : TAKE_FD(fd);
}

static int add_name(int number, const char *name, void *userdata) {
        (void) number;
        return json_array_append_new(userdata, json_string(name));
}

json_t *filter_profile(void) {
        json_t *names = json_array(), *architectures = json_array();

        if (!names || foreach_allowed(add_name, names) < 0) {
                json_decref(architectures);
                json_decref(names);
                return NULL;
        }
        if (seccomp_arch_native() == SCMP_ARCH_X86_64) {
                (void) json_array_append_new(architectures, json_string("SCMP_ARCH_X86_64"));
                (void) json_array_append_new(architectures, json_string("SCMP_ARCH_X86"));
                (void) json_array_append_new(architectures, json_string("SCMP_ARCH_X32"));
        }
        return json_pack("{s:s, s:o, s:[{s:o, s:s}]}", "defaultAction", "SCMP_ACT_ERRNO", "architectures",
                         architectures, "syscalls", "names", names, "action", "SCMP_ACT_ALLOW");
}
