/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "sandbox-execd/seccomp-policy.h"
#include "sandbox-execd/seccomp-table.h"
#include "tests/test.h"

/* The programs of every supported architecture, whichever this one is: an interpreter of what the kernel runs gives
 * them calls and looks at the verdict. Numbers are written out here where it matters that they are right, since
 * asking the library that made the program would only show that it agrees with itself. */

#define KILL SECCOMP_RET_KILL_PROCESS
#define ALLOW SECCOMP_RET_ALLOW
#define ERROR(e) (SECCOMP_RET_ERRNO | (e))
#define BROKEN UINT32_MAX /* no verdict: the kernel would not have loaded it */
#define X32 0x40000000
#define HIGH_BIT (UINT64_C(1) << 32)

typedef struct Machine {
        const struct sock_filter *program;
        size_t n, at;
        uint32_t a, x, memory[BPF_MEMWORDS];
} Machine;

static uint32_t load_word(const struct seccomp_data *data, uint32_t offset) {
        uint32_t word = 0;

        ASSERT_TRUE(offset % 4 == 0 && offset + 4 <= sizeof *data);
        memcpy(&word, (const char *) data + offset, sizeof word);
        return word;
}

static bool jump_is_taken(uint16_t code, uint32_t a, uint32_t b) {
        switch (BPF_OP(code)) {
        case BPF_JEQ:
                return a == b;
        case BPF_JGT:
                return a > b;
        case BPF_JGE:
                return a >= b;
        default:
                return a & b;
        }
}

static void step_alu(Machine *m, const struct sock_filter *i) {
        uint32_t b = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

        ASSERT_TRUE(BPF_OP(i->code) == BPF_AND); /* nothing else is needed to compare masked values */
        m->a &= b;
}

/* One instruction that is no return. */
static void step(Machine *m, const struct sock_filter *i, const struct seccomp_data *data) {
        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
                m->a = BPF_MODE(i->code) == BPF_ABS ? load_word(data, i->k)
                       : BPF_MODE(i->code) == BPF_MEM ? m->memory[i->k] : i->k;
                break;
        case BPF_LDX:
                m->x = BPF_MODE(i->code) == BPF_MEM ? m->memory[i->k] : i->k;
                break;
        case BPF_ST:
                m->memory[i->k] = m->a;
                break;
        case BPF_ALU:
                step_alu(m, i);
                break;
        case BPF_MISC:
                *(BPF_MISCOP(i->code) == BPF_TAX ? &m->x : &m->a) = BPF_MISCOP(i->code) == BPF_TAX ? m->a : m->x;
                break;
        case BPF_JMP:
                m->at += BPF_OP(i->code) == BPF_JA ? i->k
                         : jump_is_taken(i->code, m->a, BPF_SRC(i->code) == BPF_X ? m->x : i->k) ? i->jt : i->jf;
                break;
        }
}

static uint32_t run_program(const struct sock_filter *program, size_t n, const struct seccomp_data *data) {
        Machine m = { .program = program, .n = n };

        while (m.at < n) {
                const struct sock_filter *i = program + m.at++;

                if (BPF_CLASS(i->code) == BPF_RET)
                        return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
                step(&m, i, data);
        }
        return BROKEN;
}

/* Of two answers the kernel takes the one with the smaller action, as a signed number; equal ones: the last loaded. */
static uint32_t verdict(const SeccompPolicy *p, const struct seccomp_data *data) {
        uint32_t a = run_program(p->allow, p->n_allow, data), b = run_program(p->args, p->n_args, data);

        ASSERT_TRUE(a != BROKEN && b != BROKEN);
        return (int32_t) (a & SECCOMP_RET_ACTION_FULL) < (int32_t) (b & SECCOMP_RET_ACTION_FULL) ? a : b;
}

typedef struct Case {
        int number;
        uint64_t arguments[3];
        uint32_t expected;
} Case;

typedef struct Architecture {
        const char *name;
        uint32_t token, audit;
        const Case *cases;
        size_t n_cases;
} Architecture;

/* From the kernel's include/uapi/asm-generic/unistd.h, which arm64 uses as it is. */
static const Case aarch64_cases[] = {
        { 17, {}, ALLOW },                              /* getcwd */
        { 29, { 0, 0x5413 }, ALLOW },                   /* ioctl TIOCGWINSZ */
        { 29, { 0, 0x5412 }, ERROR(EPERM) },            /* TIOCSTI */
        { 29, { 0, 0x541c }, ERROR(EPERM) },            /* TIOCLINUX */
        { 29, { 0, 0x5423 }, ERROR(EPERM) },            /* TIOCSETD */
        { 29, { 0, 0x5412 | HIGH_BIT }, ERROR(EPERM) },
        { 39, {}, ERROR(EPERM) },                       /* umount2 */
        { 40, {}, ERROR(EPERM) },                       /* mount */
        { 41, {}, ERROR(EPERM) },                       /* pivot_root */
        { 51, {}, ERROR(EPERM) },                       /* chroot */
        { 56, {}, ALLOW },                              /* openat */
        { 57, {}, ALLOW },                              /* close */
        { 63, {}, ALLOW },                              /* read */
        { 64, {}, ALLOW },                              /* write */
        { 92, { 0 }, ALLOW },                           /* personality */
        { 92, { 0x0040000 }, ERROR(ENOSYS) },
        { 92, { 0xffffffff }, ALLOW },
        { 93, {}, ALLOW },                              /* exit */
        { 97, {}, ERROR(EPERM) },                       /* unshare */
        { 104, {}, ERROR(EPERM) },                      /* kexec_load */
        { 105, {}, ERROR(EPERM) },                      /* init_module */
        { 106, {}, ERROR(EPERM) },                      /* delete_module */
        { 112, {}, ERROR(EPERM) },                      /* clock_settime */
        { 113, {}, ALLOW },                             /* clock_gettime */
        { 116, {}, ERROR(EPERM) },                      /* syslog */
        { 117, {}, ALLOW },                             /* ptrace */
        { 134, {}, ALLOW },                             /* rt_sigaction */
        { 142, {}, ERROR(EPERM) },                      /* reboot */
        { 161, {}, ERROR(EPERM) },                      /* sethostname */
        { 170, {}, ERROR(EPERM) },                      /* settimeofday */
        { 171, {}, ERROR(EPERM) },                      /* adjtimex */
        { 172, {}, ALLOW },                             /* getpid */
        { 198, { 1 }, ALLOW },                          /* socket AF_UNIX */
        { 198, { 2 }, ALLOW },
        { 198, { 10 }, ALLOW },
        { 198, { 16, 3, 0 }, ALLOW },                   /* AF_NETLINK, route */
        { 198, { 16, 3, 9 }, ERROR(EPROTONOSUPPORT) },  /* audit */
        { 198, { 17 }, ERROR(EAFNOSUPPORT) },           /* AF_PACKET */
        { 198, { 38 }, ERROR(EAFNOSUPPORT) },           /* AF_ALG */
        { 198, { 40 }, ERROR(EAFNOSUPPORT) },           /* AF_VSOCK */
        { 217, {}, ERROR(EPERM) },                      /* add_key */
        { 218, {}, ERROR(EPERM) },                      /* request_key */
        { 219, {}, ERROR(EPERM) },                      /* keyctl */
        { 220, { 17 }, ALLOW },                         /* clone: a fork */
        { 220, { 0x10000000 }, ERROR(EPERM) },          /* CLONE_NEWUSER */
        { 220, { 0x00020000 }, ERROR(EPERM) },          /* CLONE_NEWNS */
        { 220, { 0x02000000 }, ERROR(EPERM) },          /* CLONE_NEWCGROUP */
        { 221, {}, ALLOW },                             /* execve */
        { 222, {}, ALLOW },                             /* mmap */
        { 224, {}, ERROR(EPERM) },                      /* swapon */
        { 235, {}, ERROR(EPERM) },                      /* mbind */
        { 241, {}, ERROR(EPERM) },                      /* perf_event_open */
        { 260, {}, ALLOW },                             /* wait4 */
        { 262, {}, ERROR(EPERM) },                      /* fanotify_init */
        { 264, {}, ERROR(EPERM) },                      /* name_to_handle_at */
        { 265, {}, ERROR(EPERM) },                      /* open_by_handle_at */
        { 268, {}, ERROR(EPERM) },                      /* setns */
        { 270, {}, ERROR(EPERM) },                      /* process_vm_readv */
        { 272, {}, ERROR(EPERM) },                      /* kcmp */
        { 273, {}, ERROR(EPERM) },                      /* finit_module */
        { 278, {}, ALLOW },                             /* getrandom */
        { 280, {}, ERROR(EPERM) },                      /* bpf */
        { 282, {}, ERROR(EPERM) },                      /* userfaultfd */
        { 291, {}, ALLOW },                             /* statx */
        { 425, {}, ERROR(ENOSYS) },                     /* io_uring_setup */
        { 428, {}, ERROR(EPERM) },                      /* open_tree */
        { 434, {}, ALLOW },                             /* pidfd_open */
        { 435, {}, ALLOW },                             /* clone3: init refuses it to commands */
        { 437, {}, ALLOW },                             /* openat2 */
        { 438, {}, ERROR(EPERM) },                      /* pidfd_getfd */
        { 439, {}, ALLOW },                             /* faccessat2 */
        { 442, {}, ERROR(EPERM) },                      /* mount_setattr */
        { 1023, {}, ERROR(ENOSYS) },
        { -1, {}, ERROR(ENOSYS) },                      /* what a tracer skips a call with */
};

/* From the kernel's arch/x86/entry/syscalls/syscall_64.tbl. */
static const Case x86_64_cases[] = {
        { 0, {}, ALLOW },                               /* read */
        { 2, {}, ALLOW },                               /* open */
        { 9, {}, ALLOW },                               /* mmap */
        { 16, { 0, 0x5413 }, ALLOW },                   /* ioctl TIOCGWINSZ */
        { 16, { 0, 0x5412 }, ERROR(EPERM) },
        { 16, { 0, 0x541c | HIGH_BIT }, ERROR(EPERM) },
        { 16, { 0, 0x5423 }, ERROR(EPERM) },
        { 39, {}, ALLOW },                              /* getpid */
        { 41, { 16, 3, 0 }, ALLOW },                    /* socket */
        { 41, { 16, 3, 15 }, ERROR(EPROTONOSUPPORT) },  /* uevent */
        { 41, { 17 }, ERROR(EAFNOSUPPORT) },
        { 41, { 40 }, ERROR(EAFNOSUPPORT) },
        { 56, { 17 }, ALLOW },                          /* clone */
        { 56, { 0x10000000 }, ERROR(EPERM) },
        { 56, { 0x40000000 }, ERROR(EPERM) },           /* CLONE_NEWNET */
        { 57, {}, ALLOW },                              /* fork */
        { 59, {}, ALLOW },                              /* execve */
        { 101, {}, ALLOW },                             /* ptrace */
        { 134, {}, ERROR(EPERM) },                      /* uselib */
        { 135, { 0x20008 }, ALLOW },                    /* personality */
        { 135, { 0x0400000 }, ERROR(ENOSYS) },
        { 154, {}, ERROR(EPERM) },                      /* modify_ldt */
        { 155, {}, ERROR(EPERM) },                      /* pivot_root */
        { 158, {}, ALLOW },                             /* arch_prctl */
        { 161, {}, ERROR(EPERM) },                      /* chroot */
        { 165, {}, ERROR(EPERM) },                      /* mount */
        { 169, {}, ERROR(EPERM) },                      /* reboot */
        { 172, {}, ERROR(EPERM) },                      /* iopl */
        { 250, {}, ERROR(EPERM) },                      /* keyctl */
        { 272, {}, ERROR(EPERM) },                      /* unshare */
        { 298, {}, ERROR(EPERM) },                      /* perf_event_open */
        { 308, {}, ERROR(EPERM) },                      /* setns */
        { 321, {}, ERROR(EPERM) },                      /* bpf */
        { 323, {}, ERROR(EPERM) },                      /* userfaultfd */
        { 425, {}, ERROR(ENOSYS) },                     /* io_uring_setup */
        { 435, {}, ALLOW },                             /* clone3 */
        { 1023, {}, ERROR(ENOSYS) },
        { X32 | 39, {}, KILL },                         /* the same entry, another table */
        { X32 | 520, {}, KILL },                        /* execve of x32 */
        { -1, {}, ERROR(ENOSYS) },
};

static const Architecture architectures[] = {
        { "aarch64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, aarch64_cases, ELEMENTSOF(aarch64_cases) },
        { "x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, x86_64_cases, ELEMENTSOF(x86_64_cases) },
};

static struct seccomp_data call_of(uint32_t audit, const Case *c) {
        struct seccomp_data data = { .nr = c->number, .arch = audit };

        memcpy(data.args, c->arguments, sizeof c->arguments);
        return data;
}

TEST(known_numbers) {
        for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
                const Architecture *a = architectures + i;
                SeccompPolicy policy = {};
                unsigned n_bad = 0;

                ASSERT_OK(seccomp_policy_compile_for(a->token, &policy));
                for (size_t k = 0; k < a->n_cases; k++) {
                        struct seccomp_data data = call_of(a->audit, a->cases + k);
                        uint32_t found = verdict(&policy, &data);

                        if (found == a->cases[k].expected)
                                continue;
                        n_bad++;
                        print_error("%s, call %d (%#lx, %#lx, %#lx): %#x instead of %#x\n", a->name, data.nr,
                                    (unsigned long) data.args[0], (unsigned long) data.args[1],
                                    (unsigned long) data.args[2], found, a->cases[k].expected);
                }
                ASSERT_EQ(n_bad, 0);
                seccomp_policy_done(&policy);
        }
}

/* Each name of the table, by the number that the library has for it there. */
TEST(every_name) {
        for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
                const Architecture *a = architectures + i;
                SeccompPolicy policy = {};
                unsigned n = 0;

                ASSERT_OK(seccomp_policy_compile_for(a->token, &policy));
                for (size_t g = 0; g < n_seccomp_groups; g++) {
                        _cleanup_free_ char *names = strdup(seccomp_groups[g].names);
                        char *state = NULL;

                        for (char *name = strtok_r(names, " ", &state); name; name = strtok_r(NULL, " ", &state)) {
                                int error = seccomp_groups[g].error;
                                Case c = { .number = seccomp_syscall_resolve_name_arch(a->token, name),
                                           .expected = error ? ERROR((unsigned) error) : ALLOW,
                                           .arguments = { 1 } };
                                struct seccomp_data data = call_of(a->audit, &c);

                                if (c.number < 0)
                                        continue;
                                if (verdict(&policy, &data) != c.expected)
                                        print_error("%s: %s (%d)\n", a->name, name, c.number);
                                ASSERT_EQ(verdict(&policy, &data), c.expected);
                                n++;
                        }
                }
                ASSERT_TRUE(n > 280);
                seccomp_policy_done(&policy);
        }
}

/* The entries for other instruction sets end the process, whatever the number: they have tables of their own. */
TEST(foreign_entries) {
        static const uint32_t foreign[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 };

        for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
                SeccompPolicy policy = {};

                ASSERT_OK(seccomp_policy_compile_for(architectures[i].token, &policy));
                for (size_t k = 0; k < ELEMENTSOF(foreign); k++)
                        for (int number = 0; number < 450 && foreign[k] != architectures[i].audit; number++) {
                                struct seccomp_data data = { .nr = number, .arch = foreign[k] };

                                ASSERT_EQ(verdict(&policy, &data), KILL);
                        }
                seccomp_policy_done(&policy);
        }
}

/* No number that the table does not name gets through, on any architecture. */
TEST(nothing_else_passes) {
        for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
                SeccompPolicy policy = {};

                ASSERT_OK(seccomp_policy_compile_for(architectures[i].token, &policy));
                for (int number = 0; number < 1024; number++) {
                        _cleanup_free_ char *name =
                                seccomp_syscall_resolve_num_arch(architectures[i].token, number);
                        struct seccomp_data data = { .nr = number, .arch = architectures[i].audit,
                                                     .args = { 1 } };
                        char padded[128];
                        bool named = false;

                        snprintf(padded, sizeof padded, " %s ", name ? name : "?");
                        for (size_t g = 0; g < n_seccomp_groups; g++) {
                                char text[4096];

                                snprintf(text, sizeof text, " %s ", seccomp_groups[g].names);
                                named = named || strstr(text, padded);
                        }
                        if (!named)
                                ASSERT_EQ(verdict(&policy, &data), ERROR(ENOSYS));
                }
                seccomp_policy_done(&policy);
        }
}

/* What this machine really loads is the program of its own architecture. */
TEST(native_is_one_of_them) {
        bool found = false;

        for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
                found = found || architectures[i].token == seccomp_arch_native();
        ASSERT_TRUE(found);
}
