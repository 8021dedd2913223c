/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <stdint.h>

#if defined(__x86_64__)
#include "sandbox-init/arch-x86_64.h"
#elif defined(__aarch64__)
#include "sandbox-init/arch-aarch64.h"
#else
#error "write an arch-*.h with arch_syscall() and ARCH_START"
#endif

/* SYS(openat, fd, path, flags): the raw call, a result or a negative errno. Missing arguments are 0. */
#define SYS(...) SYS_PAD(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_PAD(name, a, b, c, d, e, f, ...)                                                       \
        arch_syscall(__NR_##name, (long) (a), (long) (b), (long) (c), (long) (d), (long) (e), (long) (f))

/* For a sequence in which any failure ends the whole operation: notes the line, returns the negative errno to the
 * caller. The innermost line wins. Each file defines INIT_FILE, its number in what INIT_REPLY calls a step. */
#define TRY(expression)                                                                            \
        ({                                                                                         \
                long _result = (expression);                                                       \
                if (_result < 0)                                                                   \
                        return step_failed(_result, INIT_FILE * 1000 + __LINE__);                  \
                _result;                                                                           \
        })

int step_failed(long r, int step);
/* The step of the failure since the last call, 0 if none. */
int step_take(void);

/* What libc's headers would give; all the same on the architectures above. */
#define AF_INET 2
#define SOCK_DGRAM 2
#define SOCK_CLOEXEC O_CLOEXEC
#define SOCK_NONBLOCK O_NONBLOCK
#define SOL_SOCKET_LEVEL 1
#define SCM_RIGHTS 1
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000

typedef struct KernelMessage { /* struct msghdr */
        void *name;
        int name_length;
        struct iovec *iov;
        size_t n_iov;
        void *control;
        size_t control_length;
        unsigned flags;
} KernelMessage;

typedef struct KernelControl { /* struct cmsghdr with room for descriptors */
        size_t length;
        int level;
        int type;
        int fds[];
} KernelControl;
