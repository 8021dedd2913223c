/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/seccomp-policy.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-execd/seccomp-table.h"

/* From the tables of names to programs for the kernel, once at the start of the daemon, since they are the same for
 * every sandbox. init gets them as bytes, so it needs no library.
 *
 * There are two filters, and the kernel takes the stricter answer of the two. One lists what is allowed (all else does
 * not exist: ENOSYS, for which programs have a fallback), the other one looks at arguments: in the first, a rule about
 * arguments could not take back what a rule without them allows. */

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release)

static uint32_t action_of(int error) {
        return error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t) error);
}

static int new_filter(uint32_t arch, uint32_t action, scmp_filter_ctx *ret) {
        _cleanup_(seccomp_releasep) scmp_filter_ctx filter = NULL;
        int r;

        filter = seccomp_init(action);
        if (!filter)
                return -ENOMEM;

        /* Rules are then added by the numbers that this machine has for their names, and the library translates. */
        if (arch != seccomp_arch_native()) {
                r = seccomp_arch_add(filter, arch);
                if (r >= 0)
                        r = seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
                if (r < 0)
                        return r;
        }
        /* Only this architecture's own call numbers: x32 and i386 entries have tables of their own. */
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r < 0)
                return r;
        /* A binary tree: a third of the time of the linear list to load, and a few steps a call. */
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(filter);
        return 0;
}

static int add_group(scmp_filter_ctx filter, const SeccompGroup *group) {
        _cleanup_free_ char *names = NULL;
        char *state = NULL;

        names = strdup(group->names);
        if (!names)
                return -ENOMEM;

        for (char *name = strtok_r(names, " ", &state); name; name = strtok_r(NULL, " ", &state)) {
                int r, number = seccomp_syscall_resolve_name(name);

                if (number < 0)
                        continue; /* of another architecture, or newer than the library */
                r = seccomp_rule_add(filter, action_of(group->error), number, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

static struct scmp_arg_cmp comparison(const SeccompCondition *c) {
        switch (c->compare) {
        case SECCOMP_EQUAL_32:
                return SCMP_CMP64(c->argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, c->value);
        case SECCOMP_HAS_BIT:
                return SCMP_CMP64(c->argument, SCMP_CMP_MASKED_EQ, c->value, c->value);
        case SECCOMP_GREATER:
                return SCMP_CMP64(c->argument, SCMP_CMP_GT, c->value);
        case SECCOMP_OTHER_THAN:
                return SCMP_CMP64(c->argument, SCMP_CMP_NE, c->value);
        case SECCOMP_NONE:
        case SECCOMP_EQUAL:
                break;
        }
        return SCMP_CMP64(c->argument, SCMP_CMP_EQ, c->value);
}

static int add_argument_rule(scmp_filter_ctx filter, const SeccompArgumentRule *rule) {
        struct scmp_arg_cmp compares[ELEMENTSOF(rule->conditions)];
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(rule->conditions); i++)
                if (rule->conditions[i].compare != SECCOMP_NONE)
                        compares[n++] = comparison(rule->conditions + i);
        return seccomp_rule_add_array(filter, action_of(rule->error), seccomp_syscall_resolve_name(rule->name), n,
                                      compares);
}

/* The library writes to descriptors only; memory that is one saves the file. */
static int export_program(scmp_filter_ctx filter, struct sock_filter **ret, size_t *ret_n) {
        _cleanup_free_ struct sock_filter *program = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;
        int r;

        fd = memfd_create("seccomp", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = seccomp_export_bpf(filter, fd);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;

        program = malloc((size_t) st.st_size);
        if (!program)
                return -ENOMEM;
        n = pread(fd, program, (size_t) st.st_size, 0);
        if (n != st.st_size || n % (ssize_t) sizeof(struct sock_filter) != 0)
                return n < 0 ? -errno : -EIO;

        *ret = TAKE_PTR(program);
        *ret_n = (size_t) n / sizeof(struct sock_filter);
        return 0;
}

static int compile_allow(SeccompPolicy *p, uint32_t arch) {
        _cleanup_(seccomp_releasep) scmp_filter_ctx filter = NULL;
        int r;

        r = new_filter(arch, SCMP_ACT_ERRNO(ENOSYS), &filter);
        for (size_t i = 0; r >= 0 && i < n_seccomp_groups; i++)
                r = add_group(filter, seccomp_groups + i);
        for (size_t i = 0; r >= 0 && i < n_seccomp_personalities; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                                     SCMP_A0_64(SCMP_CMP_EQ, seccomp_personalities[i]));
        return r < 0 ? r : export_program(filter, &p->allow, &p->n_allow);
}

static int compile_args(SeccompPolicy *p, uint32_t arch) {
        _cleanup_(seccomp_releasep) scmp_filter_ctx filter = NULL;
        int r;

        r = new_filter(arch, SCMP_ACT_ALLOW, &filter);
        for (size_t i = 0; r >= 0 && i < n_seccomp_argument_rules; i++)
                r = add_argument_rule(filter, seccomp_argument_rules + i);
        return r < 0 ? r : export_program(filter, &p->args, &p->n_args);
}

int seccomp_policy_compile_for(uint32_t arch, SeccompPolicy *ret) {
        SeccompPolicy p = {};
        int r;

        r = compile_allow(&p, arch);
        if (r >= 0)
                r = compile_args(&p, arch);
        if (r < 0) {
                seccomp_policy_done(&p);
                return r;
        }
        *ret = p;
        return 0;
}

int seccomp_policy_compile(SeccompPolicy *ret) {
        return seccomp_policy_compile_for(seccomp_arch_native(), ret);
}

void seccomp_policy_done(SeccompPolicy *p) {
        p->allow = mfree(p->allow);
        p->args = mfree(p->args);
        p->n_allow = p->n_args = 0;
}
