/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/files-server.h"
#include "sandbox-fsd/layer-copy.h"

/* The worker's way into its sandbox: descriptors of two namespaces come from execd, and after them there is no way
 * back. All that needs files of the host happens before, all that touches files of the sandbox after. */

/* Descriptors that sandbox-execd starts us with. */
#define FD_BUS 3
#define FD_USER_NAMESPACE 4
#define FD_MOUNT_NAMESPACE 5

/* For a copy: where the result goes, the sandbox's two namespaces, the layer to be made, and what of. */
#define FD_RESULT 3
#define FD_TARGET 6
#define FD_BELOW 7 /* two: no directory if nothing is known */
#define FD_SOURCES 9

#define CAPABILITIES                                                                               \
        (1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_FSETID | 1U << CAP_SETUID |         \
         1U << CAP_SETGID)

#if SANITIZED
/* In the sandbox there is no /proc that knows us. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
        return 1;
}
#endif

static int check_namespaces(void) {
        _cleanup_close_ int owner_fd = -EBADF;
        struct stat a, b;

        owner_fd = ioctl(FD_MOUNT_NAMESPACE, NS_GET_USERNS);
        if (owner_fd < 0)
                return -errno;
        if (fstat(owner_fd, &a) < 0 || fstat(FD_USER_NAMESPACE, &b) < 0)
                return -errno;
        return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? 0 : -EPERM;
}

/* Nothing may be loaded once / is the sandbox's: no locale, no NSS, no module is used after this. */
static int enter_namespaces(void) {
        int r;

        r = check_namespaces();
        if (r < 0)
                return log_error_errno(r, "The mount namespace is not one of the user namespace: %m");
        if (setns(FD_USER_NAMESPACE, CLONE_NEWUSER) < 0)
                return log_error_errno(errno, "Failed to enter the sandbox's user namespace: %m");
        if (setns(FD_MOUNT_NAMESPACE, CLONE_NEWNS) < 0)
                return log_error_errno(errno, "Failed to enter the sandbox's mount namespace: %m");
        if (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0)
                return log_error_errno(errno, "Failed to become root of the sandbox: %m");
        if (getuid() != 0 || geteuid() != 0 || getgid() != 0 || getegid() != 0 || getgroups(0, NULL) != 0)
                return log_error_errno(EPERM, "The sandbox's user namespace does not map root.");
        if (chdir("/") < 0)
                return log_error_errno(errno, "Failed to enter the sandbox's root: %m");
        return 0;
}

static int drop_capabilities(uint32_t keep) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { { .effective = keep, .permitted = keep } };

        for (int capability = 0; capability <= 63; capability++)
                if ((capability > 31 || !(keep & 1U << capability)) &&
                    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
                        return -errno;
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int open_root(FileRoot *ret) {
        struct stat root;
        int fd;

        fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &root) < 0 || !S_ISDIR(root.st_mode)) {
                safe_close(fd);
                return -ENOTDIR;
        }
        return file_root_init(ret, fd);
}

/* Standard error stays for the log, the bus and the root for the work. */
static int close_the_rest(int root_fd) {
        if (syscall(SYS_close_range, root_fd + 1, ~0U, 0) < 0)
                return -errno;
        if (root_fd > FD_BUS + 1 && syscall(SYS_close_range, FD_BUS + 1, root_fd - 1, 0) < 0)
                return -errno;
        return 0;
}

static int serve(FilesServer *s) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus, FD_BUS, FD_BUS);
        if (r >= 0)
                r = sd_bus_set_server(bus, true, id);
        /* The socket is one of a pair and was handed over: whoever has the other end may call. */
        if (r >= 0)
                r = sd_bus_set_anonymous(bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, true);
        if (r >= 0)
                r = files_server_attach(s, bus);
        if (r >= 0)
                r = sd_bus_start(bus);
        while (r >= 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        /* The other end was closed: that is how a worker ends. */
        return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE ? 0 : r;
}

static int run_worker(void) {
        FilesServer s = { .root = FILE_ROOT_NULL };
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN);
        (void) umask(0);

        r = enter_namespaces();
        if (r < 0)
                return r;
        r = drop_capabilities(CAPABILITIES);
        if (r >= 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                r = -errno;
        if (r < 0)
                return log_error_errno(r, "Failed to give up privileges: %m");

        r = open_root(&s.root);
        if (r >= 0)
                r = close_the_rest(s.root.fd);
        if (r < 0)
                return log_error_errno(r, "Failed to open the sandbox's root: %m");

        r = serve(&s);
        file_root_done(&s.root);
        return r < 0 ? log_error_errno(r, "Failed to serve: %m") : 0;
}

/* A tree that is deeper than our stack or our descriptors go ends the copy, not the machine. */
static int set_limits(void) {
        struct rlimit files, none = {};

        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return -errno;
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return -errno;
        return 0;
}

/* The mount namespace is the vault: nothing of the host is in it. */
static int run_copy(const char *sources, const char *bytes_max) {
        int fds[LAYER_COPY_SOURCES_MAX], r;
        LayerCopy copy = { .sources = fds, .target_fd = FD_TARGET, .below_fds = { FD_BELOW, FD_BELOW + 1 } };
        char result[96];
        uint64_t n;

        if (parse_u64(sources, &n) < 0 || n == 0 || n > ELEMENTSOF(fds) || parse_u64(bytes_max, &copy.bytes_max) < 0)
                return -EINVAL;
        copy.n_sources = n;
        for (size_t i = 0; i < n; i++)
                fds[i] = FD_SOURCES + (int) i;
        (void) umask(0);
        r = enter_namespaces();
        if (r >= 0)
                r = set_limits();
        if (r >= 0)
                r = drop_capabilities(CAPABILITIES | 1U << CAP_SETFCAP);
        if (r >= 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                r = -errno;
        if (r >= 0)
                r = layer_copy(&copy);
        (void) snprintf(result, sizeof result, "%d %" PRIu64 " %" PRIu64 "\n", -r, copy.bytes, copy.files);
        return loop_write(FD_RESULT, result, strlen(result)) < 0 ? -EIO : 0;
}

static int help(void) {
        printf("sandbox-files [OPTION]\n\n"
               "File operations in one sandbox. Started by sandbox-execd with descriptors\n"
               "%d (bus), %d (user namespace) and %d (mount namespace).\n\n"
               "  -h --help            Show this help\n"
               "     --version         Show the version\n"
               "     --bus-introspect  Show the interface\n",
               FD_BUS, FD_USER_NAMESPACE, FD_MOUNT_NAMESPACE);
        return 0;
}

int main(int argc, char *argv[]) {
        static const BusInterface interfaces[] = { { FSD_OBJECT, FILES_INTERFACE, files_vtable } };

        /* The journal's socket would be looked for in the sandbox. */
        (void) unsetenv("JOURNAL_STREAM");
        log_set_program("sandbox-files");

        if (argc == 2 && streq(argv[1], "--bus-introspect"))
                return bus_introspect(interfaces, ELEMENTSOF(interfaces)) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (argc == 2 && streq(argv[1], "--version"))
                return puts("sandbox-files " PACKAGE_VERSION) < 0;
        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h")))
                return help();
        if (argc == 4 && streq(argv[1], "--copy"))
                return run_copy(argv[2], argv[3]) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (argc > 1) {
                log_error("Unknown argument '%s'.", argv[1]);
                return 2;
        }
        return run_worker() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
