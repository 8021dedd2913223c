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

#define POOL_PAUSE_USEC (20 * USEC_PER_MSEC)

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

static int on_pool_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        manager_fill_pool(userdata);
        return 0;
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
                r = sd_event_add_time_relative(event, &m->pool_timer, CLOCK_MONOTONIC, USEC_INFINITY / 4, 0,
                                               on_pool_timer, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->pool_timer, SD_EVENT_OFF);
        return r < 0 ? log_error_errno(r, "Failed to set up: %m") : 0;
}

int manager_new(Service *service, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        m = new0(Manager, 1);
        if (!m)
                return log_oom();
        *m = (Manager) { .service = service, .state_fd = -EBADF, .due_fd = -EBADF, .dev_fd = -EBADF, .wake_usec = 0,
                         .cgroups = CGROUP_MOUNTS_NULL, .state_path = EXECD_STATE_DIRECTORY };

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
        if (m->sandboxes)
                HASHMAP_FOREACH(s, m->sandboxes) {
                        (void) hashmap_remove(m->sandboxes, s->record.id.digits);
                        sandbox_free(s);
                }
        hashmap_free(m->sandboxes);
        deadlines_free(m->deadlines);
        systemd_client_free(m->systemd);
        sd_event_source_disable_unref(m->restore_timer);
        sd_event_source_disable_unref(m->pool_timer);
        id_ranges_free(m->ranges);
        seccomp_policy_done(&m->seccomp);
        cgroup_mounts_done(&m->cgroups);
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

static int make_blank(Manager *m, Sandbox **ret) {
        SandboxId id;
        Sandbox *s;
        int r;

        r = sandbox_id_random(&id);
        if (r < 0)
                return r;
        r = sandbox_new(m, id.digits, &s);
        if (r < 0)
                return r;
        r = hashmap_put(m->sandboxes, s->record.id.digits, s);
        if (r < 0) {
                sandbox_free(s);
                return r;
        }
        sandbox_wake(s);
        *ret = s;
        return 0;
}

int manager_reserve(Manager *m, sd_bus *owner, Sandbox **ret) {
        Sandbox *s, *found = NULL;
        int r;

        m->draining = false;
        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->pooled && s->state == SANDBOX_PARKED) {
                        found = s;
                        break;
                }
        if (!found) {
                r = make_blank(m, &found);
                if (r < 0)
                        return r;
        }
        found->pooled = false;
        found->owner = owner;
        *ret = found;
        return 0;
}

/* One blank at a time, and after a pause: moving a process into a cgroup stalls every fork of the host, so the pool must
 * not fill while a client's command starts. */
void manager_fill_pool(Manager *m) {
        unsigned n = 0;
        Sandbox *s;

        if (m->settings.blank_pool == 0 || m->draining || !m->server)
                return;
        HASHMAP_FOREACH(s, m->sandboxes) {
                if (!s->created && s->state == SANDBOX_MAKING)
                        return; /* comes back here when it is parked */
                n += s->pooled && s->state == SANDBOX_PARKED;
        }
        if (n >= m->settings.blank_pool)
                return;
        if (make_blank(m, &s) >= 0)
                s->pooled = true;
}

static void schedule_pool(Manager *m) {
        if (m->settings.blank_pool == 0 || m->draining)
                return;
        (void) sd_event_source_set_time_relative(m->pool_timer, POOL_PAUSE_USEC);
        (void) sd_event_source_set_enabled(m->pool_timer, SD_EVENT_ONESHOT);
}

/* Blanks are given back before an exit on idle, and what systemd was not told yet is waited for. */
int manager_drain(void *userdata) {
        Manager *m = userdata;
        bool busy = false;
        Sandbox *s;

        if (!m)
                return 0;
        m->draining = true;
        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->pooled) {
                        sandbox_end(s, END_FAILED);
                        busy = true;
                }
        return busy || deadlines_pending(m->deadlines);
}

void manager_set_idle(Manager *m) {
        uint32_t sec = m->settings.idle_exit_sec;

        service_set_idle_usec(m->service, sec > 0 ? sec * USEC_PER_SEC : USEC_INFINITY);
}

/* Spare blanks were made with the old limits: others take their places. */
int manager_reload(void *userdata) {
        Manager *m = userdata;
        Sandbox *s;
        int r;

        if (!m)
                return 0;
        r = settings_reload(&m->settings);
        if (r <= 0)
                return r;
        m->defaults++;
        manager_set_idle(m);
        HASHMAP_FOREACH(s, m->sandboxes)
                if (s->pooled)
                        sandbox_end(s, END_FAILED);
        schedule_pool(m);
        return 0;
}

void manager_forget(Manager *m, Sandbox *s) {
        (void) hashmap_remove(m->sandboxes, s->record.id.digits);
        manager_reply_ended(s);
        if (s->created && s->end_reason != END_FAILED)
                manager_emit_gone(m, s);
        schedule_pool(m);
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
