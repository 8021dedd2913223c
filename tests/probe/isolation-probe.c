/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs inside a sandbox as one of its commands and reads back what it is promised to be shut off from. Prints a line
 * "PASS name" or "FAIL name: what was found" for each check and ends with 1 if one failed. Static, so that it runs in
 * any image. Whatever it changes is its own process. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

static int failed;

__attribute__((format(printf, 3, 4))) static void check(bool good, const char *name, const char *format, ...) {
        va_list ap;

        if (good) {
                printf("PASS %s\n", name);
                return;
        }
        failed = 1;
        printf("FAIL %s: ", name);
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        putchar('\n');
}

static const char *slurp(const char *path) {
        static char text[65536];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n = -1;

        if (fd >= 0) {
                n = read(fd, text, sizeof text - 1);
                close(fd);
        }
        text[n < 0 ? 0 : n] = 0;
        return text;
}

static void check_maps(void) {
        static const char *const files[] = { "/proc/self/uid_map", "/proc/self/gid_map" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                unsigned long inside = 1, base = 0, count = 0;
                const char *text = slurp(files[i]);
                int n = sscanf(text, "%lu %lu %lu", &inside, &base, &count);

                check(n == 3 && inside == 0 && count == 65536 && base >= 524288 && base % 65536 == 0 &&
                              strchr(text, '\n') == text + strlen(text) - 1,
                      files[i], "%s", text);
        }
}

static void check_status(void) {
        static const struct {
                const char *line, *expected;
        } rows[] = {
                { "NoNewPrivs:\t", "1" },
                { "Seccomp:\t", "2" },
                { "CapInh:\t", "0000000000000000" },
                { "CapPrm:\t", "00000000800005fb" },
                { "CapEff:\t", "00000000800005fb" },
                { "CapBnd:\t", "00000000800005fb" },
                { "CapAmb:\t", "0000000000000000" },
        };
        char text[8192];
        const char *filters;

        snprintf(text, sizeof text, "%s", slurp("/proc/self/status"));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *at = strstr(text, rows[i].line);

                at = at ? at + strlen(rows[i].line) : "absent";
                check(strncmp(at, rows[i].expected, strlen(rows[i].expected)) == 0, rows[i].line, "%.20s", at);
        }
        filters = strstr(text, "Seccomp_filters:\t");
        check(filters && atoi(filters + 17) >= 2, "two filters at least", "%.24s", filters ? filters : "absent");
}

static void check_names(const char *hostname) {
        char name[256] = "";
        const char *text = slurp("/proc/self/cgroup");

        check(!strstr(text, ".slice") && !strstr(text, "sandbox-") && !strstr(text, ".."), "cgroup names nothing of the host",
              "%s", text);
        (void) gethostname(name, sizeof name);
        check(!hostname || strcmp(name, hostname) == 0, "hostname is the sandbox's", "%s", name);
        check(sethostname("x", 1) < 0 && errno == EPERM, "hostname is fixed", "%m");
}

static void check_processes(void) {
        struct dirent *entry;
        DIR *d = opendir("/proc");
        int n = 0;

        while (d && (entry = readdir(d)))
                n += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
        if (d)
                closedir(d);
        check(n > 0 && n <= 5, "processes of the host are not seen", "%d in /proc", n);
        check(strncmp(slurp("/proc/1/comm"), "sandbox-init", 12) == 0, "pid 1 is ours", "%s", slurp("/proc/1/comm"));
}

static void check_init_is_shut(void) {
        static const char *const files[] = { "/proc/1/mem", "/proc/1/environ", "/proc/1/maps" };
        static const char *const links[] = { "/proc/1/exe", "/proc/1/root", "/proc/1/cwd", "/proc/1/ns/user" };
        char target[4096];

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                int fd = open(files[i], O_RDONLY | O_CLOEXEC);
                char c;

                check(fd < 0 ? errno == EACCES || errno == EPERM : read(fd, &c, 1) <= 0, files[i], "readable");
                if (fd >= 0)
                        close(fd);
        }
        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                check(readlink(links[i], target, sizeof target) < 0 && (errno == EACCES || errno == EPERM), links[i],
                      "readable");
        check(!opendir("/proc/1/fd"), "/proc/1/fd", "readable");
        check(ptrace(PTRACE_ATTACH, 1, 0, 0) < 0 && errno == EPERM, "pid 1 is not traceable", "%m");
}

static void check_descriptors(void) {
        struct dirent *entry;
        DIR *d = opendir("/proc/self/fd");
        char found[256] = "";
        int extra = 0;

        while (d && (entry = readdir(d))) {
                int fd = atoi(entry->d_name);

                if (entry->d_name[0] == '.' || fd == dirfd(d) || fd <= 2)
                        continue;
                extra++;
                snprintf(found + strlen(found), sizeof found - strlen(found), " %d", fd);
        }
        if (d)
                closedir(d);
        check(d && extra == 0, "descriptors are 0 to 2", "also%s", found);
}

static void check_dev(void) {
        static const char *const known[] = { ".", "..", "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random",
                                             "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero" };
        static const char *const wanted[] = { "full", "null", "ptmx", "random", "tty", "urandom", "zero" };
        struct dirent *entry;
        DIR *d = opendir("/dev");
        struct stat st;

        while (d && (entry = readdir(d))) {
                bool is_known = false;

                for (size_t i = 0; i < ELEMENTSOF(known); i++)
                        is_known = is_known || strcmp(known[i], entry->d_name) == 0;
                if (!is_known || (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISBLK(st.st_mode)))
                        check(false, "/dev", "has %s", entry->d_name);
        }
        check(d != NULL, "/dev is there", "%m");
        if (d)
                closedir(d);
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                char path[64];

                snprintf(path, sizeof path, "/dev/%s", wanted[i]);
                check(access(path, R_OK | W_OK) == 0, path, "%m");
        }
        check(mknod("/tmp/probe-c", S_IFCHR | 0600, makedev(1, 3)) < 0 && errno == EPERM, "mknod of null", "%m");
        check(mknod("/tmp/probe-b", S_IFBLK | 0600, makedev(7, 0)) < 0 && errno == EPERM, "mknod of a disk", "%m");
}

static void check_proc_files(void) {
        static const char *const unwritable[] = { "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
                                                  "/proc/sys/kernel/modprobe", "/proc/sys/kernel/ns_last_pid",
                                                  "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/overcommit_memory" };
        static const char *const masked[] = { "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list",
                                              "/proc/sched_debug", "/proc/latency_stats", "/proc/kmsg", "/proc/kpagecount",
                                              "/proc/kpageflags", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/iomem",
                                              "/proc/ioports", "/proc/interrupts" };
        const char *text;

        for (size_t i = 0; i < ELEMENTSOF(unwritable); i++) {
                int fd = open(unwritable[i], O_WRONLY | O_CLOEXEC);

                check(fd < 0 && (errno == EROFS || errno == EACCES || errno == ENOENT || errno == EPERM), unwritable[i],
                      "opened for writing (%m)");
                if (fd >= 0)
                        close(fd);
        }
        for (size_t i = 0; i < ELEMENTSOF(masked); i++)
                check(slurp(masked[i])[0] == 0, masked[i], "has contents");
        text = slurp("/proc/kallsyms");
        check(text[0] == 0 || strncmp(text, "0000000000000000 ", 17) == 0, "/proc/kallsyms", "%.40s", text);
}

static bool sys_is_bare(void) {
        struct dirent *entry;
        DIR *d = opendir("/sys");
        bool bare = true;

        while (d && (entry = readdir(d)))
                bare = bare && entry->d_name[0] == '.';
        if (d)
                closedir(d);
        return bare;
}

static void check_mounts(void) {
        static const char *const words[] = { "/var/lib/sandbox", "/run/sandboxd", "/home", "shared:", "master:", "/hostusr",
                                             "lowerdir=/", "upperdir=/" };
        static const struct {
                const char *point, *flag;
        } flags[] = {
                { " / ", "nosuid,nodev" },
                { " /proc ", "nosuid,nodev,noexec" },
                { " /dev ", "nosuid" },
                { " /dev/shm ", "nosuid,nodev,noexec" },
                { " /dev/pts ", "nosuid,noexec" },
                { " /tmp ", "nosuid,nodev" },
                { " /proc/sys ", "ro,nosuid,nodev,noexec" },
        };
        static char text[65536];
        struct stat root, parent;

        snprintf(text, sizeof text, "%s", slurp("/proc/self/mountinfo"));
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                check(!strstr(text, words[i]), words[i], "stands in mountinfo");
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                const char *at = strstr(text, flags[i].point), *end = at ? strchr(at, '\n') : NULL, *flag = NULL;

                if (end)
                        flag = memmem(at, (size_t) (end - at), flags[i].flag, strlen(flags[i].flag));
                check(flag != NULL, flags[i].point, "wants %s: %.120s", flags[i].flag, at ? at : "not mounted");
        }
        check(stat("/", &root) == 0 && stat("/..", &parent) == 0 && root.st_ino == parent.st_ino, "/.. is /", "%m");
        check(sys_is_bare(), "/sys is bare", "it has entries");
        check(mount("t", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM, "mount tmpfs", "%m");
        check(mount("/", "/mnt", NULL, MS_BIND, NULL) < 0 && errno == EPERM, "mount --bind", "%m");
        check(umount2("/proc", 0) < 0 && errno == EPERM, "umount", "%m");
}

static void check_namespaces(void) {
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
}

/* Calls with arguments that do nothing; the filter answers before the kernel looks at them. */
static void check_refused_calls(void) {
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
#ifdef __x86_64__
                ROW(iopl, EPERM),              ROW(ioperm, EPERM),           ROW(modify_ldt, EPERM),
                ROW(ustat, EPERM),             ROW(sysfs, EPERM),
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
}

#ifdef __x86_64__
static void check_foreign_abis(void) {
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
static void check_foreign_abis(void) {}
#endif

static void check_sockets(void) {
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

static void check_interfaces(void) {
        struct if_nameindex *list = if_nameindex();
        int n = 0;

        for (struct if_nameindex *i = list; i && i->if_index; i++) {
                n++;
                check(strcmp(i->if_name, "lo") == 0, "interfaces", "has %s", i->if_name);
        }
        check(n == 1, "lo alone", "%d interfaces", n);
        if_freenameindex(list);
}

static void check_limits(void) {
        static const struct {
                const char *name;
                int resource;
                rlim_t maximum;
        } rows[] = {
                { "RLIMIT_CORE", RLIMIT_CORE, 0 },           { "RLIMIT_NOFILE", RLIMIT_NOFILE, 65536 },
                { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK, 8 << 20 }, { "RLIMIT_RTPRIO", RLIMIT_RTPRIO, 0 },
                { "RLIMIT_NICE", RLIMIT_NICE, 0 },           { "RLIMIT_NPROC", RLIMIT_NPROC, 8192 },
                { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE, 819200 }, { "RLIMIT_STACK", RLIMIT_STACK, 64 << 20 },
                { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING, 1 << 20 },
        };
        struct sched_param fifo = { .sched_priority = 1 };
        struct rlimit limit;
        mode_t mask = umask(0);
        void *p;

        check(mask == 0022, "umask", "%03o", mask);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check(getrlimit((__rlimit_resource_t) rows[i].resource, &limit) == 0 && limit.rlim_max <= rows[i].maximum, rows[i].name,
                      "hard limit %llu", (unsigned long long) limit.rlim_max);
        limit = (struct rlimit) { 1 << 20, 1 << 20 };
        check(setrlimit(RLIMIT_NOFILE, &limit) < 0 && errno == EPERM, "NOFILE cannot be raised", "%m");
        check(setpriority(PRIO_PROCESS, 0, -5) < 0, "nice -5", "allowed");
        check(sched_setscheduler(0, SCHED_FIFO, &fifo) < 0, "SCHED_FIFO", "allowed");
        p = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        check(p != MAP_FAILED && mlock(p, 1 << 30) < 0, "mlock of 1 GiB", "allowed");
        check(atoi(slurp("/proc/self/oom_score_adj")) == 500, "oom_score_adj", "%s", slurp("/proc/self/oom_score_adj"));
        {
                int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

                check(fd < 0 || write(fd, "-1000", 5) < 0, "oom_score_adj cannot be lowered", "it was");
                if (fd >= 0)
                        close(fd);
        }
}

static void check_environment(void) {
        static const char *const refused[] = { "LISTEN_", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "INVOCATION_ID", "III_",
                                               "API_KEY", "JOURNAL_STREAM", "WATCHDOG_", "SYSTEMD_" };
        static const char *const wanted[] = { "PATH", "HOME", "TERM", "LANG" };

        for (char **e = environ; *e; e++)
                for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                        check(strncmp(*e, refused[i], strlen(refused[i])) != 0, refused[i], "stands in the environment");
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                check(getenv(wanted[i]) != NULL, wanted[i], "not set");
}

static void check_signals(void) {
        sigset_t set;
        bool good = true;

        (void) sigprocmask(SIG_SETMASK, NULL, &set);
        for (int s = 1; s < 32; s++) {
                struct sigaction action;

                if (sigismember(&set, s) || (sigaction(s, NULL, &action) == 0 && action.sa_handler != SIG_DFL))
                        good = false;
        }
        check(good, "signals are default and unblocked", "they are not");
        check(getsid(0) != 0 && kill(1, SIGKILL) <= 0 && getppid() != 0, "pid 1 outlives our kill", "%m");
        check(access("/proc/1", F_OK) == 0, "pid 1 is there", "%m");
}

static void check_orphans(void) {
        int pipes[2], status;
        pid_t child, orphan = 0;

        if (pipe(pipes) < 0)
                return;
        child = fork();
        if (child == 0) {
                orphan = fork();
                if (orphan == 0)
                        _exit(0);
                (void) !write(pipes[1], &orphan, sizeof orphan);
                _exit(0);
        }
        (void) waitpid(child, &status, 0);
        (void) !read(pipes[0], &orphan, sizeof orphan);
        for (int i = 0; i < 500 && kill(orphan, 0) == 0; i++)
                (void) usleep(10000); /* bounded poll for the reaper of another process: there is no event for it */
        check(kill(orphan, 0) < 0 && errno == ESRCH, "orphans are reaped", "%d is there", orphan);
        close(pipes[0]);
        close(pipes[1]);
}

static void check_ptrace_of_own(void) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
                _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 ? 0 : 1);
        (void) waitpid(pid, &status, 0);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "debuggers work", "status %x", (unsigned) status);
}

static void check_jit(void) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        check(p != MAP_FAILED, "JIT compilers work", "mmap: %m");
}

int main(int argc, char **argv) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        alarm(60); /* a check that hangs is one that fails: the signal ends us */

        check_descriptors();
        check_signals();
        check_limits();
        check_maps();
        check_status();
        check_names(argc > 1 ? argv[1] : NULL);
        check_processes();
        check_init_is_shut();
        check_dev();
        check_proc_files();
        check_mounts();
        check_namespaces();
        check_refused_calls();
        check_foreign_abis();
        check_sockets();
        check_interfaces();
        check_environment();
        check_orphans();
        check_ptrace_of_own();
        check_jit();
        printf("%s\n", failed ? "probe: FAILED" : "probe: passed");
        return failed;
}
