/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/doctor-checks.h"

/* What this machine has of what we need, found by doing it rather than by asking for versions: distributions backport,
 * and containers forbid. Each check stands alone, changes nothing that outlives it, and says what it found also when
 * all is well. */

void doctor_set(DoctorResult *r, DoctorLevel level, const char *format, ...) {
        va_list ap;

        r->level = level;
        va_start(ap, format);
        (void) vsnprintf(r->found, sizeof r->found, format, ap);
        va_end(ap);
}

const char *doctor_level_to_string(DoctorLevel level) {
        static const char *const names[_DOCTOR_LEVEL_MAX] = {
                [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_MISSING] = "missing",
        };

        return level < _DOCTOR_LEVEL_MAX ? names[level] : "?";
}

/* "6.1.0-13-amd64", "6.12-rc3": what follows the first two numbers is the distribution's. */
bool release_is_at_least(const char *release, unsigned major, unsigned minor) {
        unsigned a = 0, b = 0;

        (void) sscanf(release, "%u.%u", &a, &b);
        return a > major || (a == major && b >= minor);
}

static void check_kernel(DoctorResult *r) {
        struct utsname u;

        if (uname(&u) < 0)
                return doctor_set(r, DOCTOR_WARN, "unknown");
        doctor_set(r, release_is_at_least(u.release, 6, 1) ? DOCTOR_OK : DOCTOR_MISSING, "%.100s %.30s", u.release,
               u.machine);
}

/* "systemd 252 (252.36-1~deb12u1)" of the running manager's program. */
static void check_systemd(DoctorResult *r) {
        _cleanup_free_ char *comm = NULL;
        unsigned version = 0;
        FILE *f;

        if (read_text_at(AT_FDCWD, "/proc/1/comm", 64, &comm) < 0 || !streq(comm, "systemd"))
                return doctor_set(r, DOCTOR_MISSING, "process 1 is %.40s", comm ? comm : "unknown");
        f = popen("systemctl --version 2>/dev/null", "re");
        if (f) {
                if (fscanf(f, "systemd %u", &version) != 1)
                        version = 0;
                (void) pclose(f);
        }
        doctor_set(r, version >= 252 ? DOCTOR_OK : DOCTOR_MISSING, "%u", version);
}

/* The unified tree, also where the controllers are still in the old ones beside it. */
const char *doctor_cgroup_root(void) {
        struct statfs fs;

        if (statfs("/sys/fs/cgroup", &fs) >= 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                return "/sys/fs/cgroup";
        if (statfs("/sys/fs/cgroup/unified", &fs) >= 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                return "/sys/fs/cgroup/unified";
        return NULL;
}

static void check_cgroup(DoctorResult *r) {
        const char *root = doctor_cgroup_root();

        if (!root)
                return doctor_set(r, DOCTOR_MISSING, "no cgroup v2 tree is mounted");
        doctor_set(r, streq(root, "/sys/fs/cgroup") ? DOCTOR_OK : DOCTOR_WARN, "%s", root);
}

bool doctor_has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += n)
                if ((p == text || strchr(" \n", p[-1])) && (p[n] == 0 || strchr(" \n", p[n])))
                        return true;
        return false;
}

static void check_controllers(DoctorResult *r) {
        static const char *const wanted[] = { "cpu", "io", "memory", "pids" };
        _cleanup_free_ char *path = NULL, *text = NULL;
        const char *root = doctor_cgroup_root();
        char missing[64] = "";

        if (!root || asprintf(&path, "%s/cgroup.controllers", root) < 0 ||
            read_text_at(AT_FDCWD, path, DOCTOR_FILE_MAX, &text) < 0)
                return doctor_set(r, DOCTOR_MISSING, "unknown");
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (!doctor_has_word(text, wanted[i])) {
                        strcat(missing, " ");
                        strcat(missing, wanted[i]);
                }
        if (*missing)
                return doctor_set(r, DOCTOR_WARN, "without%s", missing);
        doctor_set(r, DOCTOR_OK, "cpu io memory pids");
}

/* These files are in every group but the root one; PID 1's own tells whether the kernel has them. */
static void check_cgroup_file(DoctorResult *r, const char *name) {
        _cleanup_free_ char *own = NULL, *path = NULL;
        const char *root = doctor_cgroup_root(), *line;

        if (!root || read_text_at(AT_FDCWD, "/proc/self/cgroup", DOCTOR_FILE_MAX, &own) < 0)
                return doctor_set(r, DOCTOR_MISSING, "unknown");
        line = startswith(own, "0::/") ? own : strstr(own, "\n0::/");
        line = line ? strstr(line, "0::/") + strlen("0::") : "/";
        if (asprintf(&path, "%s%.*s/%s", root, (int) strcspn(line, "\n"), line, name) < 0) {
                path = NULL;
                return;
        }
        if (access(path, F_OK) >= 0)
                return doctor_set(r, DOCTOR_OK, "%s", name);
        /* In the root group there is nothing to look at: 5.14 brought the younger of the two. */
        if (streq(line, "/") || startswith(line, "/\n"))
                return check_kernel(r);
        doctor_set(r, DOCTOR_MISSING, "no %s", name);
}

static void check_freeze(DoctorResult *r) {
        check_cgroup_file(r, "cgroup.freeze");
}

static void check_cgroup_kill(DoctorResult *r) {
        check_cgroup_file(r, "cgroup.kill");
}

int doctor_try(int (*probe)(void)) {
        int status;
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                int r = probe();

                _exit(r < 0 ? MIN(-r, 255) : 0);
        }
        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int probe_namespaces(void) {
        return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                       CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

static void check_namespaces(DoctorResult *r) {
        int error = doctor_try(probe_namespaces);

        if (error == 0)
                return doctor_set(r, DOCTOR_OK, "user mnt pid net ipc uts cgroup");
        /* A host may keep them from users; sandbox-execd has the privilege. */
        if (geteuid() != 0 && error == -EPERM)
                return doctor_set(r, DOCTOR_WARN, "not for this user; run as root to check");
        doctor_set(r, DOCTOR_MISSING, "%s", strerror(-error));
}

static void check_seccomp(DoctorResult *r) {
        _cleanup_free_ char *text = NULL;

        if (read_text_at(AT_FDCWD, "/proc/sys/kernel/seccomp/actions_avail", DOCTOR_FILE_MAX, &text) < 0)
                return doctor_set(r, DOCTOR_MISSING, "no seccomp filters");
        doctor_set(r, doctor_has_word(text, "errno") && doctor_has_word(text, "kill_process") ? DOCTOR_OK : DOCTOR_MISSING, "filters");
}

static const char *store_or_parent(void) {
        return access(DOCTOR_STORE, F_OK) >= 0 ? DOCTOR_STORE : "/var/lib";
}

/* A namespace lives by a process in it until it is open: a child of ours that sleeps. Its map is the foreign id range
 * that images have on disk; maps are written from outside, where the privilege is. */
static int open_sleeping_userns(pid_t *ret_pid) {
        char path[64];
        int ready[2], fd;
        char byte;
        pid_t pid;

        if (pipe2(ready, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (unshare(CLONE_NEWUSER) < 0 || write(ready[1], "x", 1) != 1)
                        _exit(1);
                for (;;)
                        (void) pause();
        }
        safe_close(ready[1]);
        if (pid < 0 || read(ready[0], &byte, 1) != 1) {
                safe_close(ready[0]);
                if (pid > 0)
                        (void) waitpid(pid, NULL, 0);
                return -EPERM;
        }
        safe_close(ready[0]);
        *ret_pid = pid;
        (void) snprintf(path, sizeof path, "/proc/%d/uid_map", (int) pid);
        (void) write_text_at(AT_FDCWD, path, "0 2147352576 65536\n");
        (void) snprintf(path, sizeof path, "/proc/%d/gid_map", (int) pid);
        (void) write_text_at(AT_FDCWD, path, "0 2147352576 65536\n");
        (void) snprintf(path, sizeof path, "/proc/%d/ns/user", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Clones the store's mount, detached, and maps its ids: the real thing, and nobody else sees it. */
static void check_idmapped(DoctorResult *r) {
        _cleanup_close_ int tree = -EBADF, userns = -EBADF;
        const char *path = store_or_parent();
        struct mount_attr attributes = { .attr_set = MOUNT_ATTR_IDMAP };
        pid_t pid = 0;
        int error = 0;

        if (geteuid() != 0)
                return doctor_set(r, DOCTOR_WARN, "run as root to check");
        tree = (int) syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0)
                return doctor_set(r, DOCTOR_WARN, "%s: %s", path, strerror(errno));
        userns = open_sleeping_userns(&pid);
        if (userns < 0)
                return doctor_set(r, DOCTOR_WARN, "no user namespace to map with");

        attributes.userns_fd = (uint64_t) userns;
        if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
                error = errno;
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        doctor_set(r, error == 0 ? DOCTOR_OK : DOCTOR_WARN, error == 0 ? "%s" : "%s: %s", path, strerror(error));
}

/* Bounds on the bytes and files of a sandbox come from project quotas of the store's file system. */
static void check_quota(DoctorResult *r) {
        _cleanup_free_ char *text = NULL;
        const char *path = store_or_parent();
        struct statfs fs;

        if (statfs(path, &fs) < 0)
                return doctor_set(r, DOCTOR_WARN, "%s: %s", path, strerror(errno));
        if (fs.f_type != EXT4_SUPER_MAGIC && fs.f_type != XFS_SUPER_MAGIC)
                return doctor_set(r, DOCTOR_WARN, "%s is neither ext4 nor xfs", path);
        if (read_text_at(AT_FDCWD, "/proc/self/mounts", 16 * DOCTOR_FILE_MAX, &text) < 0 ||
            (!strstr(text, "prjquota") && !strstr(text, "pquota")))
                return doctor_set(r, DOCTOR_WARN, "no mount has project quotas");
        doctor_set(r, DOCTOR_OK, "project quotas");
}

static void check_socket(DoctorResult *r) {
        if (access(API_SOCKET_PATH, F_OK) < 0)
                return doctor_set(r, DOCTOR_MISSING, "no %s", API_SOCKET_PATH);
        doctor_set(r, access(API_SOCKET_PATH, R_OK | W_OK) < 0 ? DOCTOR_WARN : DOCTOR_OK, "%s", API_SOCKET_PATH);
}

const DoctorCheck doctor_checks[] = {
        { "kernel", check_kernel, "Linux 6.1 or newer is needed" },
        { "systemd", check_systemd, "systemd 252 or newer must be process 1" },
        { "accounts", doctor_check_accounts, "systemd-sysusers sandboxd.conf" },
        { "cgroup v2", check_cgroup, "boot with systemd.unified_cgroup_hierarchy=1" },
        { "controllers", check_controllers, "limits of these kinds will not hold; enable them in the kernel" },
        { "nsdelegate", doctor_check_nsdelegate, "mount -o remount,nsdelegate of the cgroup tree: who is root of a "
                                                 "namespace cannot change its own limits" },
        { "favordynmods", doctor_check_favordynmods, "" },
        { "freezer", check_freeze, "pause and resume need Linux 5.2 and cgroup v2" },
        { "cgroup kill", check_cgroup_kill, "Linux 5.14 and cgroup v2 are needed" },
        { "bpf filters", doctor_check_bpf, "DevicePolicy= and IPAddressDeny= do not hold: enable CONFIG_CGROUP_BPF" },
        { "user namespaces", doctor_check_user_namespaces, "sysctl user.max_user_namespaces=100000" },
        { "namespaces", check_namespaces, "see user.max_user_namespaces and the kernel's configuration" },
        { "id ranges", doctor_check_id_ranges, "another program may use ids of sandboxes: give it others there" },
        { "overlay", doctor_check_overlay, "modprobe overlay; Linux 5.11 knows userxattr" },
        { "idmapped mounts", check_idmapped, "images are copied for each id range: keep the store on ext4, xfs, btrfs" },
        { "seccomp", check_seccomp, "enable CONFIG_SECCOMP_FILTER in the kernel" },
        { "security modules", doctor_check_lsm, "AppArmor, SELinux or another one is a further wall" },
        { "cpu bugs", doctor_check_cpu_bugs, "install current microcode and kernel; nosmt where sandboxes must not "
                                             "listen to each other" },
        { "same-page merging", doctor_check_ksm, "echo 2 >/sys/kernel/mm/ksm/run: it tells what others have in memory" },
        { "swap", doctor_check_swap, "what sandboxes hold in memory goes to disk: swapoff, or encrypt it" },
        { "clock", doctor_check_clock, "times in logs and records are off: enable systemd-timesyncd" },
        { "store quota", check_quota, "writable layers become tmpfs; mount the store's ext4 or xfs with prjquota" },
        { "store space", doctor_check_space, "creating will fail soon: make room" },
        { "forwarding", doctor_check_forwarding, "sandboxes with a network need it: sysctl net.ipv4.ip_forward=1" },
        { "packet filter", doctor_check_packet_filter, "sandboxes with a network need it: enable CONFIG_NF_TABLES" },
        { "forward policy", doctor_check_forward_policy, "sandboxes with a network reach nothing: accept iifname \"sbe*\" and "
                                                         "oifname \"sbe*\" there" },
        { "network sockets", doctor_check_network_sockets, "systemctl enable --now sandbox-netd.socket "
                                                           "sandbox-netd-pins.socket sandbox-dns.socket sandbox-dns-names.socket" },
        { "name server", doctor_check_resolver, "sandboxes with a network get no names: SANDBOX_NETWORK_DNS" },
        { "sums", doctor_check_sums, "all sandboxes together may use up the host: set it in a drop-in" },
        { "hardening", doctor_check_hardening, "a drop-in changed it: systemctl cat UNIT" },
        { "sockets", doctor_check_sockets, "systemctl enable --now sandboxd.socket sandbox-execd.socket "
                                           "sandbox-fsd.socket sandbox-hook.socket" },
        { "api socket", check_socket, "be root or in group sandboxd" },
        { "tokens", doctor_check_tokens, "set API_KEY in /etc/sandboxd/sandboxd.conf, or close the TCP sockets" },
};
const size_t n_doctor_checks = ELEMENTSOF(doctor_checks);
