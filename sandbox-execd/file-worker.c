/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/file-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/spawn.h"

typedef struct Worker {
        Manager *manager;
        SandboxId id;
} Worker;

/* The last one takes the cgroup along: to the kernel it is memory, which most sandboxes need never or for a moment. */
static int on_exit_reap(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Worker *w = userdata;
        Sandbox *s = manager_get(w->manager, w->id.digits);

        (void) source;
        if (info->si_code != CLD_EXITED || info->si_status != 0)
                log_debug("A file worker ended with code %i, status %i.", info->si_code, info->si_status);
        if (s && s->cgroup_fd >= 0)
                (void) unlinkat(s->cgroup_fd, CGROUP_NAME_FILES, AT_REMOVEDIR);
        return 0;
}

static int open_namespace(const Sandbox *s, const char *name) {
        char path[64];
        int fd;

        snprintf(path, sizeof path, "/proc/%i/ns/%s", s->pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Only the event loop knows of the worker: it is reaped whenever it ends, and holds nothing here. It may outlive its
 * sandbox. */
static int watch(Sandbox *s, SpawnResult *worker) {
        _cleanup_free_ Worker *w = new0(Worker, 1);
        sd_event_source *source;
        int r = -ENOMEM;

        if (w) {
                *w = (Worker) { s->manager, s->record.id };
                r = sd_event_add_child_pidfd(service_event(s->manager->service), &source, worker->pidfd, WEXITED,
                                             on_exit_reap, w);
        }
        if (r < 0) {
                safe_close(worker->pidfd);
                return r;
        }
        TAKE_PTR(w);
        (void) sd_event_source_set_destroy_callback(source, free);
        (void) sd_event_source_set_child_pidfd_own(source, true);
        (void) sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        return 0;
}

/* The worker is cloned straight into the scope, so what it uses is charged to the sandbox and it dies with it. It enters
 * the namespaces itself, after its exec. */

/* On hybrid systems the limits are in trees of their own, which cloning into a cgroup2 directory does not reach. */
static void join_v1(const Sandbox *s, pid_t pid) {
        char path[256], text[16];

        snprintf(path, sizeof path, "%s/cgroup.procs", s->cgroup_path + 1);
        snprintf(text, sizeof text, "%i", pid);
        for (size_t i = 0; i < _CGROUP_V1_MAX; i++)
                if (s->manager->cgroups.v1_fds[i] >= 0)
                        (void) write_text_at(s->manager->cgroups.v1_fds[i], path, text);
}

int file_worker_start(Sandbox *s) {
        _cleanup_close_ int cgroup = -EBADF, user = -EBADF, mount = -EBADF, ours = -EBADF, theirs = -EBADF;
        SpawnResult worker;
        int pair[2], r;

        r = cgroup_make(s->cgroup_fd, CGROUP_NAME_FILES);
        if (r < 0)
                return r;
        cgroup = openat(s->cgroup_fd, CGROUP_NAME_FILES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (cgroup < 0)
                return -errno;
        user = open_namespace(s, "user");
        if (user < 0)
                return user;
        mount = open_namespace(s, "mnt");
        if (mount < 0)
                return mount;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];

        r = spawn_file_worker(cgroup, theirs, user, mount, &worker);
        if (r < 0)
                return r;
        join_v1(s, worker.pid);
        r = watch(s, &worker);
        return r < 0 ? r : TAKE_FD(ours);
}

void file_worker_reply(Sandbox *s, sd_bus_message *call) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_close_ int fd = file_worker_start(s);

        if (fd >= 0) {
                (void) sd_bus_reply_method_return(call, "h", fd);
                return;
        }
        method_error(&error, fd, "start a file worker");
        (void) sd_bus_reply_method_error(call, &error);
}
