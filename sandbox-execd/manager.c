/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/due.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"

/* Sandboxes are found by id only, in one table that holds blanks, live ones and those that are ending alike. */

static int open_directory(const char *path, mode_t mode) {
        int fd;

        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return log_error_errno(errno, "Failed to make %s: %m", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? log_error_errno(errno, "Failed to open %s: %m", path) : fd;
}

/* A missing user is nobody's uid: only root may connect then. */
static uid_t look_up_user(const char *name) {
        const struct passwd *user = getpwnam(name);

        if (!user)
                log_warning("There is no user '%s'.", name);
        return user ? user->pw_uid : UID_INVALID;
}

/* A mount namespace of our own holds the template of /dev; mounts that the host makes later still arrive. */
static int unshare_mounts(void) {
        if (unshare(CLONE_NEWNS) < 0)
                return log_error_errno(errno, "Failed to make a mount namespace: %m");
        if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return log_error_errno(errno, "Failed to detach from the host's mounts: %m");
        return 0;
}

static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int set_up_host(Manager *m) {
        int r;

        raise_descriptor_limit();
        m->sandboxd_uid = look_up_user("sandboxd");
        m->fsd_uid = look_up_user("sandbox-fsd");

        m->state_fd = open_directory(EXECD_STATE_DIRECTORY, 0700);
        if (m->state_fd < 0)
                return m->state_fd;
        m->due_fd = open_directory(DUE_DIRECTORY, 0700);
        if (m->due_fd < 0)
                return m->due_fd;
        r = unshare_mounts();
        if (r < 0)
                return r;
        m->dev_fd = dev_template_new(EXECD_STATE_DIRECTORY "/dev");
        if (m->dev_fd < 0)
                return m->dev_fd;
        return cgroup_mounts_find(&m->cgroups);
}

static void on_no_leftovers(void *userdata) {
        manager_ended(userdata);
}

static int set_up_parts(Manager *m) {
        sd_event *event = service_event(m->service);
        int r;

        m->sandboxes = hashmap_new();
        m->ranges = id_ranges_new();
        if (!m->sandboxes || !m->ranges)
                return log_oom();
        r = seccomp_policy_compile(&m->seccomp);
        if (r < 0)
                return log_error_errno(r, "Failed to compile the system call filters: %m");
        r = systemd_client_new(event, &m->systemd);
        if (r >= 0)
                r = deadlines_new(event, m->systemd, &m->deadlines);
        if (r >= 0)
                r = leftovers_new(event, m->systemd, m->cgroups.root_fd, &m->leftovers);
        if (r >= 0)
                r = blanks_init(m);
        if (r < 0)
                return log_error_errno(r, "Failed to set up: %m");
        leftovers_on_none(m->leftovers, on_no_leftovers, m);
        return 0;
}

int manager_new(Service *service, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        m = new0(Manager, 1);
        if (!m)
                return log_oom();
        *m = (Manager) { .service = service, .state_fd = -EBADF, .due_fd = -EBADF, .dev_fd = -EBADF, .wake_usec = 0,
                         .cgroups = CGROUP_MOUNTS_NULL, .state_path = EXECD_STATE_DIRECTORY,
                         .trees = TREES_DEFAULT };

        r = settings_load(&m->settings);
        if (r < 0)
                return log_error_errno(r, "Failed to load the settings: %m");
        r = set_up_host(m);
        if (r >= 0)
                r = set_up_parts(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        Sandbox *s;

        if (!m)
                return NULL;
        m->server = bus_server_free(m->server);
        blanks_done(m);
        if (m->sandboxes)
                HASHMAP_FOREACH(s, m->sandboxes) {
                        (void) hashmap_remove(m->sandboxes, s->record.id.digits);
                        sandbox_free(s);
                }
        hashmap_free(m->sandboxes);
        deadlines_free(m->deadlines);
        leftovers_free(m->leftovers);
        systemd_client_free(m->systemd);
        sd_event_source_disable_unref(m->restore_timer);
        id_ranges_free(m->ranges);
        seccomp_policy_done(&m->seccomp);
        cgroup_mounts_done(&m->cgroups);
        trees_done(&m->trees);
        settings_done(&m->settings);
        safe_close(m->state_fd);
        safe_close(m->due_fd);
        safe_close(m->dev_fd);
        free(m);
        return NULL;
}

Sandbox *manager_get(Manager *m, const char *id) {
        return hashmap_get(m->sandboxes, id);
}

/* Blanks are given back before an exit on idle; what is left of them and what systemd was not told yet is waited for. */
int manager_drain(void *userdata) {
        Manager *m = userdata;

        return m && (blanks_drain(m) > 0 || deadlines_pending(m->deadlines) || leftovers_pending(m->leftovers));
}

void manager_set_idle(Manager *m) {
        service_set_idle_sec(m->service, m->settings.idle_exit_sec);
}

/* Spare blanks were made with the old limits: others take their places. */
int manager_reload(void *userdata) {
        Manager *m = userdata;
        int r;

        if (!m)
                return 0;
        r = settings_reload(&m->settings);
        if (r <= 0)
                return r;
        m->defaults++;
        manager_set_idle(m);
        blanks_reload(m);
        return 0;
}

void manager_forget(Manager *m, Sandbox *s) {
        (void) hashmap_remove(m->sandboxes, s->record.id.digits);
        manager_reply_ended(s);
        if (s->created && s->end_reason != END_FAILED)
                manager_emit_gone(m, s);
}

/* The last blank of those that stood between the daemon and its exit, or what was left of them. */
void manager_ended(Manager *m) {
        if (m->blanks.draining)
                service_check_idle(m->service);
}

/* A time that only moves on is no occasion to touch the timer: it fires at the old one, and sandbox-due finds the new
 * one in the file and arms for that. Sandboxd moves it on every few seconds while it has something to look after. */
int manager_set_wake(Manager *m, uint64_t usec) {
        uint64_t armed = m->wake_usec, now = now_usec(CLOCK_BOOTTIME);
        int r;

        if (armed <= now && due_wake_read(m->due_fd, &armed) < 0)
                armed = 0;
        r = due_wake_write(m->due_fd, usec);
        if (r < 0)
                return r;
        if (usec != USEC_INFINITY && usec >= armed && armed > now) {
                m->wake_usec = armed;
                return 0;
        }
        m->wake_usec = usec;
        manager_arm_deadline(m);
        return 0;
}

void manager_arm_deadline(Manager *m) {
        uint64_t earliest;
        Sandbox *s;

        if (m->wake_usec <= now_usec(CLOCK_BOOTTIME) && due_wake_read(m->due_fd, &m->wake_usec) < 0)
                m->wake_usec = USEC_INFINITY;
        earliest = m->wake_usec > now_usec(CLOCK_BOOTTIME) ? m->wake_usec : USEC_INFINITY;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->state != SANDBOX_ENDING)
                        earliest = MIN(earliest, s->record.deadline_usec);
        deadlines_set_earliest(m->deadlines, earliest);
}

void manager_check_deadlines(Manager *m) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        Sandbox *s;

        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->state == SANDBOX_LIVE && s->record.deadline_usec <= now)
                        sandbox_end(s, END_EXPIRED);
}
