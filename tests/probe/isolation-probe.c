/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs inside a sandbox as one of its commands and reads back what it is promised to be shut off from. Prints a line
 * "PASS name" or "FAIL name: what was found" for each check and ends with 1 if one failed. Static, so that it runs in
 * any image. Whatever it changes is its own process. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probe/probe.h"

static int failed;

void check(bool good, const char *name, const char *format, ...) {
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

/* In a loop: files of /proc give a page at a time. */
const char *slurp(const char *path) {
        static char text[65536];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        size_t size = 0;
        ssize_t n;

        while (fd >= 0 && (n = read(fd, text + size, sizeof text - 1 - size)) > 0)
                size += (size_t) n;
        if (fd >= 0)
                close(fd);
        text[size] = 0;
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
        char name[256] = "", domain[256] = "";
        const char *text = slurp("/proc/self/cgroup");

        check(!strstr(text, ".slice") && !strstr(text, "sandbox-") && !strstr(text, ".."), "cgroup names nothing of the host",
              "%s", text);
        (void) gethostname(name, sizeof name);
        check(!hostname || strcmp(name, hostname) == 0, "hostname is the sandbox's", "%s", name);
        check(getdomainname(domain, sizeof domain) == 0 && (!*domain || strcmp(domain, "(none)") == 0), "no domain name",
              "%s", domain);
        check(getuid() == 0 && getgid() == 0 && getgroups(0, NULL) == 0, "root without other groups", "%u %u %d", getuid(),
              getgid(), getgroups(0, NULL));
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
        for (int fd = 0; fd <= 2; fd++) {
                struct stat st = {}, null = {};
                bool good = fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0;

                /* nothing that stands in a file system of the host: a pipe, a socket, /dev/null or a terminal in /dev/pts */
                check(good && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
                               (S_ISCHR(st.st_mode) && (st.st_rdev == null.st_rdev || major(st.st_rdev) == 136))),
                      "standard descriptors are pipes", "%d: mode %o", fd, st.st_mode);
        }
}

static void check_limits(void) {
        static const struct {
                const char *name;
                int resource;
                rlim_t maximum; /* of the hard one; the soft one is never larger */
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
        check(getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY, "RLIMIT_FSIZE", "none");
        check(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 1024, "1024 descriptors at first", "%llu",
              (unsigned long long) limit.rlim_cur);
        check(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur == 8 << 20, "a stack of 8 MiB at first", "%llu",
              (unsigned long long) limit.rlim_cur);
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
