/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "sandbox-init/init.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

#define INIT_FILE 4

#define NOFILE_OF_INIT 65536U /* it keeps the descriptors of all commands; theirs is set when they start */

#define CAPABILITY(c) (1U << (c))
#define CAPABILITIES                                                                               \
        (CAPABILITY(CAP_CHOWN) | CAPABILITY(CAP_DAC_OVERRIDE) | CAPABILITY(CAP_FOWNER) |           \
         CAPABILITY(CAP_FSETID) | CAPABILITY(CAP_KILL) | CAPABILITY(CAP_SETGID) |                  \
         CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETPCAP) | CAPABILITY(CAP_NET_BIND_SERVICE) |     \
         CAPABILITY(CAP_SETFCAP))

_Static_assert(CAPABILITIES == 0x800005fbU, "what the documentation says");

/* A hard limit that is lower already stays: only the host's root may raise it. */
static int set_limit(unsigned resource, uint64_t soft, uint64_t hard) {
        struct rlimit64 old, new;

        TRY(SYS(prlimit64, 0, resource, NULL, &old));
        new.rlim_max = hard < old.rlim_max ? hard : old.rlim_max;
        new.rlim_cur = soft < new.rlim_max ? soft : new.rlim_max;
        TRY(SYS(prlimit64, 0, resource, &new, NULL));
        return 0;
}

static int set_limits(const InitRoot *m) {
        const struct { unsigned resource; uint64_t soft, hard; } limits[] = {
                { RLIMIT_CORE,       0,              0              },
                { RLIMIT_FSIZE,      m->fsize_max,   m->fsize_max   },
                { RLIMIT_MEMLOCK,    64U << 10,      8U << 20       },
                { RLIMIT_MSGQUEUE,   819200,         819200         },
                { RLIMIT_NICE,       0,              0              },
                { RLIMIT_NOFILE,     NOFILE_OF_INIT, NOFILE_OF_INIT },
                { RLIMIT_NPROC,      m->nproc_max,   m->nproc_max   },
                { RLIMIT_RTPRIO,     0,              0              },
                { RLIMIT_SIGPENDING, 4096,           4096           },
                { RLIMIT_STACK,      8U << 20,       64U << 20      },
        };

        for (size_t n = 0; n < ELEMENTSOF(limits); n++)
                TRY(set_limit(limits[n].resource, limits[n].soft, limits[n].hard));
        return 0;
}

static int drop_capabilities(void) {
        struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct data[2] = { { CAPABILITIES, CAPABILITIES, 0 }, { 0, 0, 0 } };

        /* Up to the last one that this kernel knows. */
        for (unsigned c = 0; SYS(prctl, PR_CAPBSET_READ, c) >= 0; c++)
                if (c >= 32 || !(CAPABILITIES & CAPABILITY(c)))
                        TRY(SYS(prctl, PR_CAPBSET_DROP, c));

        TRY(SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL));
        TRY(SYS(capset, &header, data));
        return 0;
}

static int load_filter(const struct sock_filter *instructions, uint32_t n) {
        struct sock_fprog program = { (unsigned short) n, (struct sock_filter *) instructions };

        return (int) TRY(SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

int init_lock_down(const InitRoot *m) {
        TRY(SYS(sethostname, m->hostname, strlen(m->hostname)));
        TRY(set_limits(m));
        TRY(drop_capabilities());
        TRY(SYS(prctl, PR_SET_NO_NEW_PRIVS, 1));
        TRY(SYS(prctl, PR_SET_DUMPABLE, 0));
        return 0;
}

/* clone3() has its flags where no filter sees them: init needs it (CLONE_INTO_CGROUP), commands shall fall back to
 * clone(), whose flags are filtered. To load a filter for each command would take as long as all else that is done for
 * it. So there is one for all, to which init shows in the arguments that clone3() does not have who calls: 128 random
 * bits. They are in its memory, and who could read that could have init do as he likes. */
static uint64_t token[2];

#define WORD(n, half) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + (n) * 8 + (half) * 4)
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) (value), yes, no)

/* In front of the second one, in whose place in the message it is put: that has been read, and is longer. */
static int load_second_filter(InitRoot *m) {
        const struct sock_filter guard[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                EQUAL(__NR_clone3, 0, 9),
                WORD(2, 0), EQUAL(token[0], 0, 6),
                WORD(2, 1), EQUAL(token[0] >> 32, 0, 4),
                WORD(3, 0), EQUAL(token[1], 0, 2),
                WORD(3, 1), EQUAL(token[1] >> 32, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        };
        const struct sock_filter *second = (const struct sock_filter *) (m + 1) + m->n_allow;
        struct sock_filter *both = (struct sock_filter *) m;
        uint32_t n = m->n_args;

        _Static_assert(sizeof(InitRoot) >= sizeof(guard), "the guard fits in front");
        for (uint32_t i = 0; i < n; i++)
                both[ELEMENTSOF(guard) + i] = second[i];
        for (uint32_t i = 0; i < ELEMENTSOF(guard); i++)
                both[i] = guard[i];
        return load_filter(both, ELEMENTSOF(guard) + n);
}

/* Last, for they may refuse what came before. Commands inherit both. The message is used up. */
int init_load_filters(InitRoot *m) {
        if (TRY(SYS(getrandom, token, sizeof(token), 0)) != sizeof(token))
                return TRY(-EIO);
        TRY(load_filter((const struct sock_filter *) (m + 1), m->n_allow));
        return load_second_filter(m);
}

long init_clone3(struct clone_args *args) {
        return SYS(clone3, args, sizeof(*args), token[0], token[1]);
}
