/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/resource.h>
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

/* Last, for they may refuse what came before. Commands inherit both. */
int init_load_filters(const InitRoot *m) {
        const struct sock_filter *filters = (const struct sock_filter *) (m + 1);

        TRY(load_filter(filters, m->n_allow));
        TRY(load_filter(filters + m->n_allow, m->n_args));
        return 0;
}
