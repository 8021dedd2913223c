/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/sandbox-steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/due.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/quota.h"
#include "sandbox-execd/root.h"
#include "sandbox-execd/spawn.h"

/* The order is forced by the kernel nearly everywhere: procfs needs the host's rights and the new pid namespace, the maps
 * need a process in the user namespace, the cgroup namespace needs init in the scope itself, controllers need the scope
 * to be free of processes, the layers need the maps. It was found by trying, on systemd 252 and 257. */

/* The range is on disk before anything uses it, so that it never has two owners, whenever we die. */
static int apply_record(Sandbox *s) {
        int r;

        r = id_ranges_take(s->manager->ranges, &s->record.base);
        if (r < 0)
                return r;
        s->record.created_usec = now_usec(CLOCK_REALTIME);
        r = state_file_write(s->manager->state_fd, &s->record);
        return r < 0 ? r : 1;
}

/* Here, at the very end, since no process may outlive the bounds of what it writes. */
static void release_project(Sandbox *s) {
        _cleanup_close_ int store = -EBADF;
        int r;

        if (s->record.project == 0)
                return;
        store = open(STORE_PATH, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = store < 0 ? -errno : quota_set(store, s->record.project, 0, 0);
        if (r < 0)
                log_sandbox_errno(LOG_WARNING, r, s->record.id.digits, "Failed to free project %u, ignoring: %m",
                                  s->record.project);
}

static int undo_record(Sandbox *s) {
        release_project(s);
        (void) state_file_remove(s->manager->state_fd, s->record.id.digits);
        id_ranges_release(s->manager->ranges, s->record.base);
        return 1;
}

/* Bound in the host's namespaces and handed to init at exec: nobody inside can reach it by any path, and a later daemon
 * finds it by the sandbox's id. */
static int apply_socket(Sandbox *s) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(s->socket_path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        strcpy(address.sun_path, s->socket_path);
        s->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (s->listen_fd < 0)
                return -errno;
        if (bind(s->listen_fd, (const struct sockaddr *) &address, sizeof address) < 0 || listen(s->listen_fd, 4) < 0)
                return -errno;
        return 1;
}

static int undo_socket(Sandbox *s) {
        s->listen_fd = safe_close(s->listen_fd);
        (void) unlink(s->socket_path);
        return 1;
}

static int on_init_exit(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Sandbox *s = userdata;

        (void) source;
        s->child_source = sd_event_source_disable_unref(s->child_source);
        if (s->state == SANDBOX_ENDING)
                sandbox_wake(s);
        else if (s->state == SANDBOX_MAKING) {
                log_sandbox(LOG_WARNING, s->record.id.digits, "Init ended with code %i, status %i.", info->si_code,
                            info->si_status);
                sandbox_fail(s, -ECONNRESET, "init");
        } else
                sandbox_end(s, sandbox_death_reason(s));
        return 0;
}

/* Init is our child while we live; later it is the host's PID 1 that reaps it, and its socket that tells of its end. */
static int apply_clone(Sandbox *s) {
        SpawnResult init;
        int r;

        r = spawn_init(s->listen_fd, &init);
        if (r < 0)
                return r;
        s->listen_fd = safe_close(s->listen_fd);
        s->pid = init.pid;
        r = sd_event_add_child_pidfd(service_event(s->manager->service), &s->child_source, init.pidfd, WEXITED,
                                     on_init_exit, s);
        if (r < 0) {
                safe_close(init.pidfd);
                return r;
        }
        (void) sd_event_source_set_child_pidfd_own(s->child_source, true);
        return 1;
}

static int undo_clone(Sandbox *s) {
        if (!s->child_source)
                return 1; /* reaped, or an earlier daemon's child, which died with its cgroup */
        (void) sd_event_source_send_child_signal(s->child_source, SIGKILL, NULL, 0);
        return 0;
}

static int apply_maps(Sandbox *s) {
        int r = spawn_write_maps(s->pid, 0, s->record.base, ID_RANGE_SIZE);

        return r < 0 ? r : 1;
}

static int apply_connect(Sandbox *s) {
        return sandbox_connect(s); /* done with HELLO */
}

static int undo_connect(Sandbox *s) {
        s->init = init_client_free(s->init);
        return 1;
}

static void on_step_reply(int error, const InitReply *reply, int *fds, size_t n_fds, void *userdata) {
        Sandbox *s = userdata;

        (void) fds;
        (void) n_fds;
        if (error < 0 && reply && s->state != SANDBOX_ENDING)
                log_sandbox(LOG_WARNING, s->record.id.digits, "Init failed at its step %i.", reply->step);
        sandbox_step_done(s, error);
}

static int apply_go(Sandbox *s) {
        return init_client_call_simple(s->init, INIT_GO, on_step_reply, s);
}

static void on_scope(int error, const char *details, void *userdata) {
        Sandbox *s = userdata;

        s->request = NULL;
        if (error < 0)
                log_sandbox(LOG_WARNING, s->record.id.digits, "systemd refused the scope: %s", details ? details : "?");
        sandbox_step_done(s, error);
}

/* Init is moved into the scope by systemd, with the limits in force before anything of an image is run. The answer comes
 * by JobRemoved, 1 to 15 ms later. */
static int apply_scope(Sandbox *s) {
        SystemdRequestOptions options = { .action = SYSTEMD_START_TRANSIENT, .unit = s->scope,
                                          .append_properties = scope_append_properties, .on_done = on_scope,
                                          .userdata = s };

        s->defaults = s->manager->defaults;
        return systemd_client_request(s->manager->systemd, &options, &s->request);
}

static int on_cgroup_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) source;
        (void) fd;
        (void) revents;
        sandbox_wake(userdata);
        return 0;
}

/* A process that dies while systemd puts it into its scope can leave the scope behind, active and empty for ever. */
static void stop_half_made(Sandbox *s) {
        SystemdRequestOptions options = { .action = SYSTEMD_STOP, .unit = s->scope };

        if (s->end_reason == END_FAILED)
                (void) systemd_client_request(s->manager->systemd, &options, NULL);
}

/* Systemd would find them one by one, and looks into each three times. Whoever comes second finds nothing, or is put off
 * by that: see scope-leftover.h. */
static void remove_sub_cgroups(int cgroup_fd) {
        static const char *const names[] = { CGROUP_NAME_INIT, CGROUP_NAME_RUN, CGROUP_NAME_FILES, CGROUP_NAME_COPY,
                                             CGROUP_NAME_FLATTEN };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void) cgroup_remove_tree(cgroup_fd, names[i]);
}

/* Ends every process of the scope and waits for the last one. The unit itself is systemd's, which collects it as it
 * becomes empty. */
static int undo_scope(Sandbox *s) {
        s->request = systemd_request_free(s->request);
        if (s->cgroup_fd < 0)
                s->cgroup_fd = cgroup_open(s->manager->cgroups.root_fd, s->cgroup_path);
        if (s->cgroup_fd < 0) {
                stop_half_made(s);
                return 1;
        }

        if (!s->events_source)
                (void) cgroup_watch(service_event(s->manager->service), s->cgroup_fd, on_cgroup_event, s,
                                    &s->events_source);
        (void) cgroup_kill(s->cgroup_fd);
        if (s->events_source && cgroup_watch_populated(s->events_source) > 0)
                return 0;
        /* Nothing runs any more, and no other sandbox can get its id: what is left to free is nobody's but ours. */
        manager_reply_killed(s);
        remove_sub_cgroups(s->cgroup_fd);
        leftovers_add(s->manager->leftovers, s->cgroup_path);
        s->events_source = sd_event_source_disable_unref(s->events_source);
        s->cgroup_fd = safe_close(s->cgroup_fd);
        stop_half_made(s);
        return 1;
}

static int apply_cgroups(Sandbox *s) {
        static const char *const names[] = { CGROUP_NAME_INIT, CGROUP_NAME_RUN };
        int r = 0;

        s->cgroup_fd = cgroup_open(s->manager->cgroups.root_fd, s->cgroup_path);
        if (s->cgroup_fd < 0)
                return s->cgroup_fd;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                r = cgroup_make(s->cgroup_fd, names[i]);
        return r < 0 ? r : 1;
}

/* A cgroup with controllers for its children may have no process of its own, so init moves down. Before that, in the scope
 * itself, it makes the namespace: were it in its sub-cgroup already, that would be the root of the namespace, and with the
 * mount option nsdelegate the cgroups of the commands would be out of its reach. */
static int apply_cgroup_init(Sandbox *s) {
        _cleanup_close_ int fd = openat(s->cgroup_fd, CGROUP_NAME_INIT "/cgroup.procs", O_WRONLY | O_NOCTTY | O_CLOEXEC);
        InitHeader m = { .operation = INIT_ENTER_CGROUP };

        if (fd < 0)
                return -errno;
        return init_client_call(s->init, &m, sizeof m, &fd, 1, on_step_reply, s);
}

/* On both levels, for the files of a controller appear where the level above enables it: in run/ for the sandbox, in
 * exec-<n> for a command. */
static int apply_controllers(Sandbox *s) {
        _cleanup_close_ int run = -EBADF;
        int r;

        r = cgroup_enable_controllers(s->cgroup_fd);
        if (r < 0)
                return r;
        run = cgroup_open(s->cgroup_fd, CGROUP_NAME_RUN);
        if (run < 0)
                return run;
        r = cgroup_enable_controllers(run);
        if (r < 0)
                return r;

        /* Delegation switches OOMPolicy= off, so the kernel is told to end all commands together. */
        r = write_text_at(run, "memory.oom.group", "1");
        if (r < 0 && r != -ENOENT)
                return r;
        /* The common ancestor of init/ and run/exec-<n>: CLONE_INTO_CGROUP asks for the right to write this. */
        r = cgroup_give(s->cgroup_fd, "cgroup.procs", s->record.base);
        return r < 0 ? r : 1;
}

/* Made ahead, in the blank: it takes a process. What of the image's ids are the sandbox's own maps through init's. */
static int apply_idmap(Sandbox *s) {
        int r = sandbox_need_foreign(s);

        return r < 0 ? r : 1;
}

static int undo_idmap(Sandbox *s) {
        s->foreign_fd = safe_close(s->foreign_fd);
        return 1;
}

static const Layer *find_upper(const CreateRequest *q) {
        for (size_t i = 0; i < q->n_layers; i++)
                if (q->layers[i].kind == LAYER_UPPER)
                        return q->layers + i;
        return NULL;
}

/* A project that is not in a record would never be freed, hence the order. */
static int bound_upper(Sandbox *s, int fd) {
        const SandboxSpec *spec = &s->create->spec;
        int r;

        r = quota_find_project(fd, &s->manager->next_project, &s->record.project);
        if (r >= 0)
                r = state_file_write(s->manager->state_fd, &s->record);
        if (r >= 0)
                r = quota_set(fd, s->record.project, spec->writable_bytes, spec->writable_inodes);
        if (r >= 0)
                r = quota_assign(fd, FOREIGN_ID_FIRST, s->record.project);
        return r;
}

static int apply_quota(Sandbox *s) {
        const Layer *upper = find_upper(s->create);
        int r;

        if (!upper)
                return 1;
        r = bound_upper(s, upper->fd);
        if (r == -EOPNOTSUPP)
                s->error_text = strdup("the file system of " STORE_PATH " has no project quotas");
        return r < 0 ? r : 1;
}

static int undo_root(Sandbox *s) {
        close_many(s->trees, s->n_trees);
        s->n_trees = 0;
        return 1;
}

static int apply_root(Sandbox *s) {
        int r;

        r = root_send(s, on_step_reply);
        /* The kernel holds what is under way; nothing of the layers stays open here. */
        undo_root(s);
        undo_idmap(s);
        return r;
}

static void on_limits(int error, const char *details, void *userdata) {
        Sandbox *s = userdata;
        bool waiting = s->limits_pending;

        s->request = NULL;
        s->limits_pending = false;
        if (error < 0) {
                log_sandbox(LOG_WARNING, s->record.id.digits, "systemd refused the limits: %s", details ? details : "?");
                sandbox_fail(s, error, "limits");
        } else if (waiting)
                sandbox_step_done(s, 0);
}

static int append_create_limits(sd_bus_message *m, void *userdata) {
        const Sandbox *s = userdata;
        const SandboxSpec *spec = &s->create->spec;
        ScopeLimits limits = { spec->memory_max_bytes, spec->cpu_quota_usec, spec->pids_max, spec->io_read_bps,
                               spec->io_write_bps };

        int r;

        r = scope_append_limits(m, &limits);
        return r < 0 || !spec->network ? r : scope_append_network(m, &s->manager->settings);
}

/* As the blank has them already, if it was made under the settings that hold now. */
static bool limits_are_the_defaults(const Sandbox *s) {
        const Settings *settings = &s->manager->settings;
        const SandboxSpec *spec = &s->create->spec;

        return s->defaults == s->manager->defaults &&
               spec->memory_max_bytes == settings->default_memory_mib * MiB && spec->pids_max == settings->pids_max &&
               spec->cpu_quota_usec == (uint64_t) (settings->default_cpu * USEC_PER_SEC) && spec->io_read_bps == 0 &&
               spec->io_write_bps == 0 && !spec->network;
}

/* Asked for before the root is made and collected after it: systemd works while init mounts. */
static int apply_limits(Sandbox *s) {
        SystemdRequestOptions options = { .action = SYSTEMD_SET_PROPERTIES, .unit = s->scope,
                                          .append_properties = append_create_limits, .on_done = on_limits,
                                          .userdata = s };
        int r;

        if (limits_are_the_defaults(s))
                return 1;
        r = systemd_client_request(s->manager->systemd, &options, &s->request);
        if (r < 0)
                return r;
        s->network = s->create->spec.network;
        return 1;
}

static int apply_limits_set(Sandbox *s) {
        s->limits_pending = s->request;
        return s->request ? 0 : 1;
}

static int apply_deadline(Sandbox *s) {
        int r = sandbox_set_deadline(s, s->record.deadline_usec);

        return r < 0 ? r : 1;
}

static int undo_deadline(Sandbox *s) {
        (void) due_remove(s->manager->due_fd, s->record.id.digits);
        s->record.deadline_usec = USEC_INFINITY;
        manager_arm_deadline(s->manager);
        return 1;
}

/* From here on a restarted daemon takes it over instead of undoing it. */
static int apply_live(Sandbox *s) {
        int r;

        s->record.live = true;
        s->record.created_usec = now_usec(CLOCK_REALTIME);
        r = state_file_write(s->manager->state_fd, &s->record);
        if (r < 0)
                return r;
        s->state = SANDBOX_LIVE;
        s->owner = NULL;
        return 1;
}

const SandboxStep sandbox_steps[] = {
        { "record",           apply_record,           undo_record   },
        { "socket",           apply_socket,           undo_socket   },
        { "clone",            apply_clone,            undo_clone    },
        { "maps",             apply_maps,             NULL          },
        { "connect",          apply_connect,          undo_connect  },
        { "go",               apply_go,               NULL          },
        { "scope",            apply_scope,            undo_scope    },
        { "cgroups",          apply_cgroups,          NULL          },
        { "cgroup-init",      apply_cgroup_init,      NULL          },
        { "controllers",      apply_controllers,      NULL          },
        { "idmap",            apply_idmap,            undo_idmap    },
        /* A blank stops here. */
        { "limits",           apply_limits,           NULL          },
        { "quota",            apply_quota,            NULL          },
        { "layers",           root_clone_layers,      undo_root     },
        { "root",             apply_root,             NULL          },
        { "limits-set",       apply_limits_set,       NULL          },
        { "deadline",         apply_deadline,         undo_deadline },
        { "live",             apply_live,             NULL          },
};
const unsigned n_sandbox_steps = ELEMENTSOF(sandbox_steps);
const unsigned n_sandbox_steps_parked = 11;

unsigned sandbox_step_find(const char *name) {
        uint32_t number;

        for (unsigned i = 0; i < n_sandbox_steps; i++)
                if (streq(sandbox_steps[i].name, name))
                        return i;
        return parse_u32(name, &number) >= 0 && number < n_sandbox_steps ? number : UINT_MAX;
}
