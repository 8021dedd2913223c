/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probe/probe.h"

/* Which calls are answered how: by the filters, and by the namespaces where those let them through. */

void check_namespaces(void) {
        static const struct {
                const char *name;
                int flag;
        } rows[] = { { "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS },   { "net", CLONE_NEWNET },      { "pid", CLONE_NEWPID },
                     { "uts", CLONE_NEWUTS },   { "ipc", CLONE_NEWIPC }, { "cgroup", CLONE_NEWCGROUP } };
        struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
        long r;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                check(unshare(rows[i].flag) < 0 && errno == EPERM, rows[i].name, "unshare: %m");
                r = syscall(SYS_clone, rows[i].flag | SIGCHLD, NULL, NULL, NULL, NULL);
                if (r == 0)
                        _exit(0);
                check(r < 0 && errno == EPERM, rows[i].name, "clone: %ld, %m", r);
        }
        r = syscall(SYS_clone3, &args, sizeof args);
        if (r == 0)
                _exit(0);
        check(r < 0 && errno == ENOSYS, "clone3", "%ld, %m", r);
        /* What init tells the filter by is in the next two arguments. */
        r = syscall(SYS_clone3, &args, sizeof args, -1L, -1L);
        if (r == 0)
                _exit(0);
        check(r < 0 && errno == ENOSYS, "clone3 by a guess", "%ld, %m", r);
}

/* Calls with arguments that do nothing; the filter answers before the kernel looks at them. */
void check_refused_calls(void) {
#define ROW(name, expected) { #name, SYS_##name, expected }
        static const struct {
                const char *name;
                long number;
                int expected;
        } rows[] = {
                ROW(kexec_load, EPERM),        ROW(kexec_file_load, EPERM),  ROW(init_module, EPERM),
                ROW(finit_module, EPERM),      ROW(delete_module, EPERM),    ROW(settimeofday, EPERM),
                ROW(clock_settime, EPERM),     ROW(adjtimex, EPERM),         ROW(clock_adjtime, EPERM),
                ROW(reboot, EPERM),            ROW(swapon, EPERM),           ROW(swapoff, EPERM),
                ROW(acct, EPERM),              ROW(syslog, EPERM),           ROW(setdomainname, EPERM),
                ROW(vhangup, EPERM),           ROW(bpf, EPERM),              ROW(perf_event_open, EPERM),
                ROW(userfaultfd, EPERM),       ROW(fanotify_init, EPERM),    ROW(fanotify_mark, EPERM),
                ROW(kcmp, EPERM),              ROW(process_vm_readv, EPERM), ROW(process_vm_writev, EPERM),
                ROW(keyctl, EPERM),            ROW(add_key, EPERM),          ROW(request_key, EPERM),
                ROW(open_by_handle_at, EPERM), ROW(name_to_handle_at, EPERM), ROW(move_pages, EPERM),
                ROW(migrate_pages, EPERM),     ROW(mbind, EPERM),            ROW(set_mempolicy, EPERM),
                ROW(get_mempolicy, EPERM),     ROW(vmsplice, EPERM),         ROW(setns, EPERM),
                ROW(chroot, EPERM),            ROW(pivot_root, EPERM),       ROW(quotactl, EPERM),
                ROW(io_uring_setup, ENOSYS),   ROW(io_uring_enter, ENOSYS),  ROW(io_uring_register, ENOSYS),
                ROW(fsopen, EPERM),            ROW(fsmount, EPERM),          ROW(move_mount, EPERM),
                ROW(open_tree, EPERM),         ROW(pidfd_getfd, EPERM),      ROW(process_madvise, EPERM),
                ROW(mount, EPERM),             ROW(umount2, EPERM),          ROW(fsconfig, EPERM),
                ROW(fspick, EPERM),            ROW(mount_setattr, EPERM),    ROW(unshare, EPERM),
                ROW(sethostname, EPERM),       ROW(lookup_dcookie, EPERM),   ROW(nfsservctl, EPERM),
                ROW(quotactl_fd, EPERM),       ROW(set_mempolicy_home_node, EPERM),
#ifdef __x86_64__
                ROW(iopl, EPERM),              ROW(ioperm, EPERM),           ROW(modify_ldt, EPERM),
                ROW(ustat, EPERM),             ROW(sysfs, EPERM),            ROW(uselib, EPERM),
                ROW(_sysctl, EPERM),
#endif
        };
#undef ROW

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                long r = syscall(rows[i].number, -1, 0, 0, 0, 0, 0);

                check(r == -1 && errno == rows[i].expected, rows[i].name, "%ld, %m", r);
        }
        check(syscall(SYS_ioctl, -1, TIOCSTI + (UINT64_C(1) << 32), 0) < 0 && errno == EPERM, "TIOCSTI with high bits", "%m");
        check(syscall(SYS_ioctl, -1, TIOCLINUX + (UINT64_C(1) << 32), 0) < 0 && errno == EPERM, "TIOCLINUX with high bits",
              "%m");
        check(ioctl(-1, TIOCSTI, "x") < 0 && errno == EPERM, "TIOCSTI", "%m");
        check(ioctl(-1, TIOCSETD, NULL) < 0 && errno == EPERM, "TIOCSETD", "%m");
        check(syscall(SYS_ioctl, -1, TIOCSETD + (UINT64_C(1) << 32), 0) < 0 && errno == EPERM, "TIOCSETD with high bits",
              "%m");
        check(ioctl(-1, TIOCGWINSZ, NULL) < 0 && errno == EBADF, "other ioctls pass", "%m");
        /* LockPersonality= of sandbox-execd.service may answer first */
        check(syscall(SYS_personality, 0UL) >= 0, "the usual personality", "%m");
        check(syscall(SYS_personality, 0x0040000UL) < 0 && (errno == ENOSYS || errno == EPERM), "ADDR_NO_RANDOMIZE", "%m");
        check(syscall(1023, 0) < 0 && errno == ENOSYS, "calls of the future", "%m");
}

#ifdef __x86_64__
void check_foreign_abis(void) {
        for (int x32 = 0; x32 < 2; x32++) {
                int status = 0;
                pid_t pid = fork();

                if (pid == 0) {
                        long r = x32 ? 0x40000000L + SYS_getpid : 20;

                        if (x32)
                                __asm__ volatile("syscall" : "+a"(r) : : "rcx", "r11", "memory");
                        else
                                __asm__ volatile("int $0x80" : "+a"(r) : : "memory");
                        _exit(r == -ENOSYS ? 0 : 1);
                }
                (void) waitpid(pid, &status, 0);
                check((WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV)) ||
                              (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                      x32 ? "x32 calls" : "i386 calls", "status %x", (unsigned) status);
        }
}
#else
void check_foreign_abis(void) {}
#endif

void check_sockets(void) {
        static const struct {
                const char *name;
                int family, type, protocol;
                bool allowed;
        } rows[] = {
                { "AF_UNIX", AF_UNIX, SOCK_STREAM, 0, true },       { "AF_INET", AF_INET, SOCK_STREAM, 0, true },
                { "AF_INET6", AF_INET6, SOCK_DGRAM, 0, true },      { "route netlink", AF_NETLINK, SOCK_RAW, 0, true },
                { "AF_PACKET", AF_PACKET, SOCK_RAW, 0, false },     { "AF_VSOCK", AF_VSOCK, SOCK_STREAM, 0, false },
                { "AF_ALG", AF_ALG, SOCK_SEQPACKET, 0, false },     { "AF_KEY", AF_KEY, SOCK_RAW, 2, false },
                { "AF_BLUETOOTH", AF_BLUETOOTH, SOCK_RAW, 0, false }, { "netfilter netlink", AF_NETLINK, SOCK_RAW, 12, false },
                { "audit netlink", AF_NETLINK, SOCK_RAW, 9, false }, { "uevent netlink", AF_NETLINK, SOCK_RAW, 15, false },
                { "raw IP", AF_INET, SOCK_RAW, IPPROTO_ICMP, false },
        };
        struct sockaddr_in outside = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xc0000201) };
        struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0host-abstract" };
        int fd;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                fd = socket(rows[i].family, rows[i].type | SOCK_CLOEXEC, rows[i].protocol);
                check(rows[i].allowed ? fd >= 0
                                      : fd < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT || errno == EPERM),
                      rows[i].name, "%d, %m", fd);
                if (fd >= 0)
                        close(fd);
        }

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(fd, (struct sockaddr *) &outside, sizeof outside) < 0 && errno == ENETUNREACH, "no route out", "%m");
        close(fd);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(fd, (struct sockaddr *) &abstract, offsetof(struct sockaddr_un, sun_path) + 14) < 0 &&
                      errno == ECONNREFUSED,
              "the host's abstract sockets are not seen", "%m");
        check(bind(fd, (struct sockaddr *) &abstract, offsetof(struct sockaddr_un, sun_path) + 14) == 0,
              "abstract names are our own", "%m");
        close(fd);
}

void check_interfaces(void) {
        struct if_nameindex *list = if_nameindex();
        int n = 0;

        for (struct if_nameindex *i = list; i && i->if_index; i++) {
                n++;
                check(strcmp(i->if_name, "lo") == 0, "interfaces", "has %s", i->if_name);
        }
        check(n == 1, "lo alone", "%d interfaces", n);
        if_freenameindex(list);
}

