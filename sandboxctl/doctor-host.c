/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/doctor-checks.h"

/* What sandbox-execd takes its ranges from. */
#define ID_RANGE_FIRST 524288U
#define ID_RANGE_END 1879048192U

#define SPACE_FREE_MIN (1 * GiB)

static char *read_file(const char *path) {
        char *text = NULL;

        return read_text_at(AT_FDCWD, path, 16 * DOCTOR_FILE_MAX, &text) < 0 ? NULL : text;
}

void doctor_check_user_namespaces(DoctorResult *r) {
        _cleanup_free_ char *text = read_file("/proc/sys/user/max_user_namespaces");
        int64_t max;

        if (!text)
                return doctor_set(r, DOCTOR_MISSING, "not in this kernel");
        if (parse_i64(text, &max) < 0)
                return doctor_set(r, DOCTOR_WARN, "cannot be read");
        doctor_set(r, max > 0 ? DOCTOR_OK : DOCTOR_MISSING, "at most %lli", (long long) max);
}

/* The options of the cgroup2 mount, which is the same for all who mount it. */
static char *cgroup_options(void) {
        _cleanup_free_ char *text = read_file("/proc/self/mountinfo");
        char *at = text ? strstr(text, " - cgroup2 ") : NULL;

        return at ? strndup(at, strcspn(at, "\n")) : NULL;
}

void doctor_check_nsdelegate(DoctorResult *r) {
        _cleanup_free_ char *options = cgroup_options();

        if (!options)
                return doctor_set(r, DOCTOR_MISSING, "no cgroup v2 tree is mounted");
        doctor_set(r, strstr(options, "nsdelegate") ? DOCTOR_OK : DOCTOR_WARN, "%s",
                   strstr(options, "nsdelegate") ? "on" : "off");
}

/* A matter of speed only: moving a process into a cgroup waits for all processors otherwise. */
void doctor_check_favordynmods(DoctorResult *r) {
        _cleanup_free_ char *options = cgroup_options();

        doctor_set(r, DOCTOR_OK, "%s",
                   options && strstr(options, "favordynmods") ? "on" : "off (on: sandboxes begin faster, forks cost more)");
}

/* systemd needs them for DevicePolicy= and IPAddressDeny=, and goes on without where they cannot be had. */
static int load_program(enum bpf_prog_type type) {
        const struct bpf_insn allow[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
                { .code = BPF_JMP | BPF_EXIT },
        };
        union bpf_attr attr = {
                .prog_type = type,
                .insns = (uint64_t) (uintptr_t) allow,
                .insn_cnt = ELEMENTSOF(allow),
                .license = (uint64_t) (uintptr_t) "GPL",
        };
        int fd = (int) syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);

        if (fd < 0)
                return -errno;
        safe_close(fd);
        return 0;
}

void doctor_check_bpf(DoctorResult *r) {
        int devices, addresses;

        if (geteuid() != 0)
                return doctor_set(r, DOCTOR_WARN, "run as root to check");
        devices = load_program(BPF_PROG_TYPE_CGROUP_DEVICE);
        addresses = load_program(BPF_PROG_TYPE_CGROUP_SKB);
        if (devices < 0 || addresses < 0)
                return doctor_set(r, DOCTOR_WARN, "no filters of%s%s: %s", devices < 0 ? " devices" : "",
                                  addresses < 0 ? " addresses" : "", strerror(devices < 0 ? -devices : -addresses));
        doctor_set(r, DOCTOR_OK, "filters of devices and addresses");
}

void doctor_check_lsm(DoctorResult *r) {
        static const char *const names[] = { "apparmor", "selinux", "smack", "tomoyo", "landlock" };
        _cleanup_free_ char *text = read_file("/sys/kernel/security/lsm");

        if (!text)
                return doctor_set(r, DOCTOR_WARN, "unknown: securityfs is not mounted");
        for (char *c = text; *c; c++)
                if (*c == ',')
                        *c = ' ';
        text[strcspn(text, "\n")] = 0;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (doctor_has_word(text, names[i]))
                        return doctor_set(r, DOCTOR_OK, "%.120s", text);
        doctor_set(r, DOCTOR_WARN, "%.120s", text);
}

/* Sandboxes get none (MemorySwapMax=0), where cgroup v2 has the memory controller. */
void doctor_check_swap(DoctorResult *r) {
        _cleanup_free_ char *text = read_file("/proc/swaps"), *controllers = NULL;
        const char *root = doctor_cgroup_root();
        char path[128];

        if (!text || !strchr(text, '\n') || strchr(text, '\n')[1] == 0)
                return doctor_set(r, DOCTOR_OK, "none");
        (void) snprintf(path, sizeof path, "%s/cgroup.controllers", root ? root : "");
        controllers = root ? read_file(path) : NULL;
        if (controllers && doctor_has_word(controllers, "memory"))
                return doctor_set(r, DOCTOR_OK, "on, but not for sandboxes");
        doctor_set(r, DOCTOR_WARN, "on, and sandboxes may use it");
}

void doctor_check_ksm(DoctorResult *r) {
        _cleanup_free_ char *text = read_file("/sys/kernel/mm/ksm/run");

        if (!text || *text == '0')
                return doctor_set(r, DOCTOR_OK, text ? "off" : "not in this kernel");
        doctor_set(r, DOCTOR_WARN, "on");
}

void doctor_check_cpu_bugs(DoctorResult *r) {
        DIR *d = opendir("/sys/devices/system/cpu/vulnerabilities");
        struct dirent *entry;
        char found[128] = "";

        if (!d)
                return doctor_set(r, DOCTOR_WARN, "the kernel does not tell");
        while ((entry = readdir(d))) {
                _cleanup_free_ char *text = NULL;

                if (entry->d_name[0] == '.' || read_text_at(dirfd(d), entry->d_name, DOCTOR_FILE_MAX, &text) < 0)
                        continue;
                /* "SMT vulnerable" behind a mitigation: threads of one core still tell on each other */
                if (startswith(text, "Vulnerable") || strstr(text, "SMT vulnerable"))
                        (void) snprintf(found + strlen(found), sizeof found - strlen(found), "%s%.24s", *found ? " " : "",
                                        entry->d_name);
        }
        (void) closedir(d);
        if (*found)
                return doctor_set(r, DOCTOR_WARN, "not mitigated: %s", found);
        doctor_set(r, DOCTOR_OK, "mitigated");
}

/* Deadlines do not depend on it; what is shown, and what logs say, does. */
void doctor_check_clock(DoctorResult *r) {
        struct timex t = {};

        if (adjtimex(&t) < 0)
                return doctor_set(r, DOCTOR_WARN, "unknown: %s", strerror(errno));
        doctor_set(r, t.status & STA_UNSYNC ? DOCTOR_WARN : DOCTOR_OK, "%s",
                   t.status & STA_UNSYNC ? "not synchronized" : "synchronized");
}

void doctor_check_space(DoctorResult *r) {
        const char *path = access(DOCTOR_STORE, F_OK) >= 0 ? DOCTOR_STORE : "/var/lib";
        struct statvfs fs;
        uint64_t bytes;
        bool files;

        if (statvfs(path, &fs) < 0)
                return doctor_set(r, DOCTOR_WARN, "%s: %s", path, strerror(errno));
        bytes = (uint64_t) fs.f_bavail * fs.f_frsize;
        files = fs.f_files == 0 || fs.f_favail >= fs.f_files / 20; /* 0: it has no bound of its own */
        doctor_set(r, bytes >= SPACE_FREE_MIN && files ? DOCTOR_OK : DOCTOR_WARN, "%s: %llu MiB%s free", path,
                   (unsigned long long) (bytes / MiB), files ? "" : ", few files");
}

const char *doctor_find_overlap(const char *text, uint64_t first, uint64_t end, char ret[static 64]) {
        for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
                unsigned long long base = 0, count = 0;

                if (sscanf(line, "%*[^:\n]:%llu:%llu", &base, &count) != 2 || count == 0)
                        continue;
                if (base >= end || base + count <= first)
                        continue;
                (void) snprintf(ret, 64, "%.*s", (int) MIN(strcspn(line, "\n"), (size_t) 63), line);
                return ret;
        }
        return NULL;
}

void doctor_check_id_ranges(DoctorResult *r) {
        static const char *const paths[] = { "/etc/subuid", "/etc/subgid" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_free_ char *text = read_file(paths[i]);
                char line[64];

                if (text && doctor_find_overlap(text, ID_RANGE_FIRST, ID_RANGE_END, line))
                        return doctor_set(r, DOCTOR_WARN, "%s: %s", paths[i], line);
        }
        doctor_set(r, DOCTOR_OK, "%u to %u are nobody else's", ID_RANGE_FIRST, ID_RANGE_END - 1);
}

static int write_map(const char *path, uid_t id) {
        char line[32];

        (void) snprintf(line, sizeof line, "0 %u 1\n", (unsigned) id);
        return write_text_at(AT_FDCWD, path, line);
}

/* The real thing, within a user namespace and with the option that needs no privilege; all of it ends with the child. */
static int probe_overlay(void) {
        uid_t uid = geteuid();
        gid_t gid = getegid();

        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return -errno;
        (void) write_text_at(AT_FDCWD, "/proc/self/setgroups", "deny");
        if (write_map("/proc/self/uid_map", uid) < 0 || write_map("/proc/self/gid_map", gid) < 0)
                return -EPERM;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("probe", "/tmp", "tmpfs", 0, NULL) < 0 ||
            mkdir("/tmp/l", 0755) < 0 || mkdir("/tmp/u", 0755) < 0 || mkdir("/tmp/w", 0755) < 0 ||
            mkdir("/tmp/m", 0755) < 0)
                return -errno;
        if (mount("overlay", "/tmp/m", "overlay", 0, "userxattr,lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w") < 0)
                return -errno;
        return 0;
}

void doctor_check_overlay(DoctorResult *r) {
        int error = doctor_try(probe_overlay);

        if (error == 0)
                return doctor_set(r, DOCTOR_OK, "within a user namespace");
        if (geteuid() != 0 && (error == -EPERM || error == -EACCES))
                return doctor_set(r, DOCTOR_WARN, "not for this user; run as root to check");
        doctor_set(r, DOCTOR_MISSING, "%s", strerror(-error));
}
