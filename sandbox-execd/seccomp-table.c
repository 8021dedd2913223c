/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/seccomp-table.h"

#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* The policy, as names. What is allowed is what the default profiles of container engines allow, less what reaches into
 * the kernel's less travelled parts (io_uring, which passes by this filter; userfaultfd and vmsplice, which win races;
 * keyrings, which know no namespaces; handles, which pass by the root). EPERM is for what programs ask for and can do
 * without; what stands in no group does not exist (ENOSYS).
 *
 * A call that is new in the kernel is thus refused until somebody adds it here. */

const SeccompGroup seccomp_groups[] = {
        /* clang-format off */
        { "files", 0,
          "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 "
          "fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fcntl64 fdatasync flock fstat fstat64 "
          "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown "
          "link linkat lseek _llseek lstat lstat64 mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 "
          "preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 "
          "rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range "
          "syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimes write writev" },
        { "extended attributes", 0,
          "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr "
          "removexattr setxattr" },
        { "waiting for descriptors", 0,
          "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
          "eventfd2 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect poll ppoll pselect6 select "
          "signalfd signalfd4 timerfd timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64" },
        { "asynchronous input and output", 0,
          "io_cancel io_destroy io_getevents io_setup io_submit" },
        { "sockets and pipes", 0,
          "accept accept4 bind connect getpeername getsockname getsockopt listen pipe pipe2 recv recvfrom recvmmsg recvmsg "
          "send sendmmsg sendmsg sendto setsockopt shutdown socket socketpair" },
        { "System V and POSIX messages", 0,
          "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget "
          "semop semtimedop shmat shmctl shmdt shmget" },
        { "memory", 0,
          "brk cachestat madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mmap2 mprotect "
          "mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect" },
        { "processes and threads", 0,
          "arch_prctl clone clone3 execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv "
          "futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit "
          "getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl prlimit64 "
          "process_mrelease ptrace restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity "
          "sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr "
          "sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid "
          "setpriority setrlimit setsid tgkill tkill ugetrlimit vfork wait4 waitid waitpid" },
        { "signals", 0,
          "alarm getitimer pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
          "rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaction sigaltstack signal sigpending sigprocmask sigreturn "
          "sigsuspend" },
        { "identity", 0,
          "capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups "
          "setregid setresgid setresuid setreuid setuid" },
        { "own restrictions", 0,
          "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp" },
        { "time and system information", 0,
          "clock_getres clock_gettime clock_gettime64 clock_nanosleep getrandom gettimeofday nanosleep sysinfo time "
          "timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 times "
          "uname" },

        { "mounts", EPERM,
          "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root quotactl quotactl_fd "
          "umount umount2" },
        { "namespaces", EPERM, "setns unshare" },
        { "keyrings", EPERM, "add_key keyctl request_key" },
        { "modules and kexec", EPERM,
          "delete_module finit_module init_module kexec_file_load kexec_load" },
        { "setting the clock", EPERM, "adjtimex clock_adjtime clock_settime settimeofday" },
        { "state of the system", EPERM,
          "acct reboot setdomainname sethostname swapoff swapon syslog vhangup" },
        { "tracing and other processes", EPERM,
          "bpf fanotify_init fanotify_mark kcmp lookup_dcookie perf_event_open pidfd_getfd process_madvise process_vm_readv "
          "process_vm_writev userfaultfd" },
        { "file handles", EPERM, "name_to_handle_at open_by_handle_at" },
        { "hardware", EPERM, "ioperm iopl modify_ldt" },
        { "placement of memory", EPERM,
          "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node vmsplice" },
        { "obsolete", EPERM, "_sysctl nfsservctl sysfs uselib ustat" },
        /* clang-format on */
};
const size_t n_seccomp_groups = ELEMENTSOF(seccomp_groups);

/* PER_LINUX, PER_LINUX32, each also with UNAME26, and the question for the present one. */
const uint64_t seccomp_personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
const size_t n_seccomp_personalities = ELEMENTSOF(seccomp_personalities);

/* clone3() takes its flags in memory, where no filter can look: what it could make is walled off by max_user_namespaces
 * of 0, see sandbox-init/park.c, and by the capabilities that are missing. */
#define NEW_NAMESPACE(flag) { "clone", EPERM, { { 0, SECCOMP_HAS_BIT, flag } } }
#define TERMINAL(request) { "ioctl", EPERM, { { 1, SECCOMP_EQUAL_32, request } } }
#define FAMILY(number) { "socket", EAFNOSUPPORT, { { 0, SECCOMP_EQUAL, number } } }

const SeccompArgumentRule seccomp_argument_rules[] = {
        NEW_NAMESPACE(CLONE_NEWNS),
        NEW_NAMESPACE(CLONE_NEWCGROUP),
        NEW_NAMESPACE(CLONE_NEWUTS),
        NEW_NAMESPACE(CLONE_NEWIPC),
        NEW_NAMESPACE(CLONE_NEWUSER),
        NEW_NAMESPACE(CLONE_NEWPID),
        NEW_NAMESPACE(CLONE_NEWNET),

        /* The kernel cuts the request to 32 bits, so a comparison of all 64 could be walked around. */
        TERMINAL(TIOCSTI),
        TERMINAL(TIOCLINUX),
        TERMINAL(TIOCSETD),

        /* What is left: AF_UNIX 1, AF_INET 2, AF_INET6 10, AF_NETLINK 16 with protocol NETLINK_ROUTE. */
        FAMILY(3),
        FAMILY(4),
        FAMILY(5),
        FAMILY(6),
        FAMILY(7),
        FAMILY(8),
        FAMILY(9),
        FAMILY(11),
        FAMILY(12),
        FAMILY(13),
        FAMILY(14),
        FAMILY(15),
        { "socket", EAFNOSUPPORT, { { 0, SECCOMP_GREATER, AF_NETLINK } } },
        { "socket", EPROTONOSUPPORT, { { 0, SECCOMP_EQUAL, AF_NETLINK }, { 2, SECCOMP_OTHER_THAN, 0 } } },
};
const size_t n_seccomp_argument_rules = ELEMENTSOF(seccomp_argument_rules);
