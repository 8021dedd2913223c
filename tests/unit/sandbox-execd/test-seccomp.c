/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/init-protocol.h"
#include "sandbox-execd/seccomp-policy.h"
#include "sandbox-execd/seccomp-table.h"
#include "tests/test.h"

/* The policy is loaded in a forked child, which tries calls and tells by its exit code which one went wrong. */

static SeccompPolicy policy;

static void load(const struct sock_filter *filter, size_t n) {
        struct sock_fprog program = { (unsigned short) n, (struct sock_filter *) filter };

        if (syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, &program) < 0)
                _exit(200);
}

static void run_confined(int (*attempt)(void *userdata), void *userdata) {
        int status;
        pid_t pid;

        if (!policy.allow)
                ASSERT_OK(seccomp_policy_compile(&policy));
        pid = fork();
        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                        _exit(201);
                load(policy.allow, policy.n_allow);
                load(policy.args, policy.n_args);
                _exit(attempt(userdata));
        }
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                print_error("child: status %x\n", status);
        ASSERT_TRUE(WIFEXITED(status));
        ASSERT_EQ(WEXITSTATUS(status), 0);
}

/* Both are sent together and must fit into init's message and table. */
TEST(size) {
        ASSERT_OK(seccomp_policy_compile(&policy));
        ASSERT_TRUE(policy.n_allow > 100 && policy.n_args > 20);
        ASSERT_TRUE(policy.n_allow + policy.n_args <= INIT_FILTER_MAX);
        ASSERT_TRUE(sizeof(InitRoot) + (policy.n_allow + policy.n_args) * sizeof(struct sock_filter) <= INIT_MESSAGE_MAX);
}

static int refused(int number, long a, long b, long c, int error) {
        errno = 0;
        return syscall(number, a, b, c, -1L, -1L, -1L) == -1 && errno == error;
}

static int try_name(void *userdata) {
        const int *call = userdata;

        return refused(call[0], -1, -1, -1, call[1]) ? 0 : 1;
}

TEST(refused_names) {
        unsigned n = 0;

        for (size_t i = 0; i < n_seccomp_groups; i++) {
                _cleanup_free_ char *names = strdup(seccomp_groups[i].names);
                char *state = NULL;

                for (char *name = strtok_r(names, " ", &state); name && seccomp_groups[i].error;
                     name = strtok_r(NULL, " ", &state)) {
                        int call[2] = { seccomp_syscall_resolve_name(name), seccomp_groups[i].error };

                        if (call[0] < 0)
                                continue;
                        run_confined(try_name, call);
                        n++;
                }
        }
        ASSERT_TRUE(n >= 55);
}

static int try_unknown(void *userdata) {
        (void) userdata;
        return refused(SYS_io_uring_setup, 1, 0, 0, ENOSYS) && refused(SYS_io_uring_enter, 0, 0, 0, ENOSYS) &&
                               refused(1023, 0, 0, 0, ENOSYS)
                       ? 0
                       : 1;
}

TEST(unknown_is_enosys) {
        run_confined(try_unknown, NULL);
}

/* No name stands in two groups: the first would win silently. */
TEST(names_are_unique) {
        for (size_t i = 0; i < n_seccomp_groups; i++) {
                _cleanup_free_ char *names = strdup(seccomp_groups[i].names);
                char *state = NULL, padded[64];

                for (char *name = strtok_r(names, " ", &state); name; name = strtok_r(NULL, " ", &state)) {
                        unsigned n = 0;

                        snprintf(padded, sizeof padded, " %s ", name);
                        for (size_t k = 0; k < n_seccomp_groups; k++) {
                                char text[4096];

                                snprintf(text, sizeof text, " %s ", seccomp_groups[k].names);
                                for (char *p = text; (p = strstr(p, padded)); p++)
                                        n++;
                        }
                        ASSERT_EQ(n, 1);
                }
        }
}

static int try_ioctl(void *userdata) {
        static const unsigned long requests[] = { TIOCSTI, TIOCLINUX, TIOCSETD };

        (void) userdata;
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                char byte = 'x';

                if (!refused(SYS_ioctl, 0, (long) requests[i], (long) &byte, EPERM))
                        return 1 + (int) i;
                /* The kernel looks at 32 bits only. */
                if (!refused(SYS_ioctl, 0, (long) (requests[i] + (UINT64_C(1) << 32)), (long) &byte, EPERM))
                        return 11 + (int) i;
        }
        /* Another request passes the filter: what fails is the descriptor. */
        return refused(SYS_ioctl, -1, (long) TIOCGWINSZ, 0, EBADF) ? 0 : 30;
}

TEST(terminal_requests) {
        run_confined(try_ioctl, NULL);
}

static int try_clone(void *userdata) {
        static const unsigned long flags[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
                                               CLONE_NEWPID, CLONE_NEWNET };

        (void) userdata;
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                if (!refused(SYS_clone, (long) (flags[i] | SIGCHLD), 0, 0, EPERM))
                        return 1 + (int) i;
        return 0;
}

TEST(namespaces) {
        run_confined(try_clone, NULL);
}

static int try_sockets(void *userdata) {
        static const struct {
                int family, type, protocol, error;
        } cases[] = {
                { AF_UNIX,    SOCK_STREAM, 0,             0               },
                { AF_INET,    SOCK_STREAM, 0,             0               },
                { AF_INET6,   SOCK_DGRAM,  0,             0               },
                { AF_NETLINK, SOCK_RAW,    NETLINK_ROUTE, 0               },
                { AF_NETLINK, SOCK_RAW,    NETLINK_AUDIT, EPROTONOSUPPORT },
                { AF_PACKET,  SOCK_RAW,    0,             EAFNOSUPPORT    },
                { AF_VSOCK,   SOCK_STREAM, 0,             EAFNOSUPPORT    },
                { AF_ALG,     SOCK_SEQPACKET, 0,          EAFNOSUPPORT    },
                { AF_X25,     SOCK_SEQPACKET, 0,          EAFNOSUPPORT    },
        };

        (void) userdata;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int fd = socket(cases[i].family, cases[i].type, cases[i].protocol);
                int error = fd < 0 ? errno : 0;

                /* A kernel without IPv6 says so itself. */
                if (error != cases[i].error && !(cases[i].family == AF_INET6 && error == EAFNOSUPPORT))
                        return 1 + (int) i;
        }
        return 0;
}

TEST(sockets) {
        run_confined(try_sockets, NULL);
}

static int try_personality(void *userdata) {
        (void) userdata;
        return syscall(SYS_personality, 0xffffffffUL) >= 0 && refused(SYS_personality, 0x0040000, 0, 0, ENOSYS) ? 0 : 1;
}

TEST(personality) {
        run_confined(try_personality, NULL);
}

static int try_work(void *userdata) {
        int status, fds[2];
        pid_t pid;

        (void) userdata;
        if (pipe(fds) < 0)
                return 1;
        pid = fork();
        if (pid == 0)
                _exit(write(fds[1], "x", 1) == 1 ? 0 : 1);
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 2;
}

TEST(ordinary_work_goes_on) {
        run_confined(try_work, NULL);
}
