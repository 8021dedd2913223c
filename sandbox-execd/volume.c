/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/volume-spec.h"
#include "sandbox-execd/layer.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/quota.h"
#include "sandbox-execd/sandbox-steps.h"
#include "sandbox-execd/volume-mount.h"

/* A volume's size is bounded by what the store's file system can do:
 *
 *   project quotas           the volume is a project of its own, whose number its directory has
 *   a tmpfs                  a tmpfs of its own, mounted on the volume by systemd, which holds it when we are gone
 *   neither                  a file system of its own in a file, made by sandbox-fsd, mounted in the same way
 *
 * Nothing is remembered here: the next daemon finds the project at the directory, and the mount in its namespace. */

#define DATA "data"
#define IMAGE "image"
#define MOUNT_UNIT "var-lib-sandbox-volumes-%s-" DATA ".mount" /* systemd's name of the mount at that path */
#define KEPT_OPTIONS "nosuid,nodev"
/* What a reply has shown may be open for a moment longer than its client knows: in a worker, in a message, in sandboxd. */
#define BUSY_PAUSE_USEC (20 * USEC_PER_MSEC)
#define BUSY_TRIES 15U
#define QUEUE_TRIES 1500U /* half a minute */

/* One call, until it is answered: systemd may be asked in between, and the sandbox may end meanwhile. */
typedef struct VolumeCall VolumeCall;

struct VolumeCall {
        sd_bus_message *message;
        Manager *manager;
        SandboxId sandbox;
        char volume[40], unit[80];
        char *path;
        int volume_fd;
        VolumeSpec spec;
        bool on_tmpfs;
        void (*again)(VolumeCall *c);
        sd_event_source *timer; /* until the next try */
        unsigned tries, busy_tries;
};

static VolumeCall *volume_call_free(VolumeCall *c) {
        if (c) {
                sd_event_source_disable_unref(c->timer);
                safe_close(c->volume_fd);
                sd_bus_message_unref(c->message);
                free(c->path);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(VolumeCall *, volume_call_free)

/* The unit that is asked for is that of the id, so the directory must be, too. */
static int check_directory(sd_bus_message *message, Manager *m, const char *volume, int fd, sd_bus_error *error) {
        char path[64];

        if (method_peer_is_root(message, m))
                return 0;
        (void) snprintf(path, sizeof path, "volumes/%s", volume);
        return method_tree_error(error, trees_check_entry(&m->trees, fd, path));
}

/* The id, and the descriptor of the directory that bears this name. */
static int volume_call_new(sd_bus_message *message, Manager *m, VolumeCall **ret, sd_bus_error *error) {
        _cleanup_(volume_call_freep) VolumeCall *c = new0(VolumeCall, 1);
        const char *volume;
        int fd, r;

        if (!c)
                return -ENOMEM;
        *c = (VolumeCall) { .message = sd_bus_message_ref(message), .manager = m, .volume_fd = -EBADF };
        r = sd_bus_message_read(message, "sh", &volume, &fd);
        if (r < 0)
                return r;
        if (!object_id_is_valid(volume, VOLUME_ID_PREFIX))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a volume's id: '%.64s'.", volume);
        c->volume_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (c->volume_fd < 0)
                return -errno;
        r = check_directory(message, m, volume, fd, error);
        if (r < 0)
                return r;
        (void) snprintf(c->volume, sizeof c->volume, "%s", volume);
        (void) snprintf(c->unit, sizeof c->unit, MOUNT_UNIT, volume);
        *ret = TAKE_PTR(c);
        return 0;
}

static int read_path(VolumeCall *c, sd_bus_error *error) {
        const char *path;
        int r;

        r = sd_bus_message_read_basic(c->message, 's', &path);
        if (r < 0)
                return r;
        if (!volume_path_is_valid(path))
                return bus_error_set(error, BUS_ERROR_INVALID, "Nothing can be mounted at '%.256s'.", path);
        c->path = strdup(path);
        return c->path ? 0 : -ENOMEM;
}

static int open_data(const VolumeCall *c) {
        return layer_open_below(c->volume_fd, DATA, c->manager->fsd_uid);
}

static bool is_mount(int fd) {
        struct statx sx;

        return statx(fd, "", AT_EMPTY_PATH, STATX_INO, &sx) >= 0 && sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* The number stands at the volume's directory, which no sandbox reaches, and comes there last: one that is found is the
 * project of all that was ever written. */
static int find_project(const VolumeCall *c, int data_fd, uint32_t *ret) {
        Manager *m = c->manager;
        int r;

        r = quota_get_project(c->volume_fd, m->fsd_uid, ret);
        if (r < 0 || *ret != 0)
                return r;
        r = quota_find_project(data_fd, &m->next_project, ret);
        if (r >= 0)
                r = quota_assign_directory(data_fd, FOREIGN_ID_FIRST, *ret);
        if (r >= 0)
                r = quota_assign_directory(c->volume_fd, m->fsd_uid, *ret);
        return r;
}

static int bound_by_quota(const VolumeCall *c, int data_fd) {
        uint32_t project;
        int r;

        r = find_project(c, data_fd, &project);
        return r < 0 ? r : quota_set(data_fd, project, c->spec.bytes, c->spec.inodes);
}

static int append_tmpfs(sd_bus_message *m, const VolumeCall *c) {
        char options[192];

        (void) snprintf(options, sizeof options, "size=%" PRIu64 ",nr_inodes=%" PRIu64 ",mode=0755,uid=%u,gid=%u,"
                        KEPT_OPTIONS, c->spec.bytes, c->spec.inodes, FOREIGN_ID_FIRST, FOREIGN_ID_FIRST);
        return sd_bus_message_append(m, "(sv)(sv)(sv)", "What", "s", "tmpfs", "Type", "s", "tmpfs", "Options", "s",
                                     options);
}

static int append_image(sd_bus_message *m, const VolumeCall *c) {
        char what[128];

        (void) snprintf(what, sizeof what, STORE_PATH "/volumes/%s/" IMAGE, c->volume);
        return sd_bus_message_append(m, "(sv)(sv)(sv)", "What", "s", what, "Type", "s", "ext4", "Options", "s",
                                     "loop,errors=remount-ro," KEPT_OPTIONS);
}

static int append_mount(sd_bus_message *m, void *userdata) {
        const VolumeCall *c = userdata;
        int r;

        r = sd_bus_message_append(m, "(sv)(sv)", "Description", "s", "Volume", "CollectMode", "s",
                                  "inactive-or-failed");
        if (r < 0)
                return r;
        return c->on_tmpfs ? append_tmpfs(m, c) : append_image(m, c);
}

/* What the sandbox itself has put in the way is its owner's to hear of. */
static int attach_error(const VolumeCall *c, int r, sd_bus_error *error) {
        switch (r) {
        case -ENXIO:
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox '%s'.", c->sandbox.digits);
        case -EBUSY:
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Something is mounted at %s already.", c->path);
        case -ELOOP:
        case -ENOTDIR:
        case -EROFS:
        case -EACCES:
                return bus_error_set(error, BUS_ERROR_PATH_REFUSED, "Nothing can be mounted at %s: %s.", c->path,
                                     r == -ELOOP || r == -ENOTDIR ? "there is a link or a file on the way"
                                                                  : strerror(-r));
        default:
                return method_error(error, r, "attach the volume");
        }
}

static void answer_attach(const VolumeCall *c, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r >= 0) {
                (void) sd_bus_reply_method_return(c->message, NULL);
                return;
        }
        (void) attach_error(c, r, &error);
        (void) sd_bus_reply_method_error(c->message, &error);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        VolumeCall *c = userdata;

        (void) source;
        (void) usec;
        service_release(c->manager->service);
        c->again(c);
        return 0;
}

static int wait_a_moment(VolumeCall *c) {
        int r;

        c->timer = sd_event_source_disable_unref(c->timer);
        r = sd_event_add_time_relative(service_event(c->manager->service), &c->timer, CLOCK_MONOTONIC, BUSY_PAUSE_USEC,
                                       USEC_PER_MSEC, on_retry, c);
        if (r >= 0)
                service_hold(c->manager->service);
        return r;
}

/* Whether it is tried again: another volume of the sandbox's is on its way. */
static bool is_later(VolumeCall *c, int r) {
        return r == -EAGAIN && c->tries++ < QUEUE_TRIES && wait_a_moment(c) >= 0;
}

static Sandbox *find_live(const VolumeCall *c) {
        Sandbox *s = manager_get(c->manager, c->sandbox.digits);

        return s && s->state == SANDBOX_LIVE ? s : NULL;
}

static void on_attached(int r, void *userdata) {
        _cleanup_(volume_call_freep) VolumeCall *c = userdata;

        answer_attach(c, find_live(c) ? r : -ENXIO);
}

static int attach(VolumeCall *c) {
        _cleanup_close_ int data = -EBADF;
        Sandbox *s = find_live(c);

        if (!s)
                return -ENXIO;
        data = open_data(c);
        if (data < 0)
                return data;
        return volume_mount(s, &(VolumeMount) { c->path, data, c->spec.read_only }, on_attached, c);
}

/* Takes the call. */
static void try_attach(VolumeCall *call) {
        _cleanup_(volume_call_freep) VolumeCall *c = call;
        int r = attach(c);

        if (r >= 0 || is_later(c, r))
                TAKE_PTR(c);
        else
                answer_attach(c, r);
}

/* A unit of this name may have come in between, from a daemon that died before it was told. */
static void on_mounted(int error, const char *details, void *userdata) {
        _cleanup_(volume_call_freep) VolumeCall *c = userdata;
        _cleanup_close_ int data = -EBADF;
        int r = error;

        service_release(c->manager->service);
        data = open_data(c);
        if (data >= 0 && is_mount(data))
                r = 0;
        else if (r >= 0)
                r = -EIO;
        if (r == -EIO && error >= 0)
                log_warning("Volume %s is mounted, but not in our namespace: is / not shared?", c->volume);
        else if (r < 0)
                log_warning_errno(r, "Failed to mount volume %s (%s): %m", c->volume, details ?: "?");
        if (r >= 0)
                try_attach(TAKE_PTR(c));
        else
                answer_attach(c, r);
}

static int ask_systemd(VolumeCall *c, SystemdAction action, void (*on_done)(int error, const char *details, void *userdata)) {
        int r;

        r = systemd_client_request(c->manager->systemd, &(SystemdRequestOptions) {
                .action = action, .unit = c->unit, .append_properties = append_mount, .on_done = on_done,
                .userdata = c }, NULL);
        if (r < 0)
                return r;
        service_hold(c->manager->service);
        return 1;
}

/* > 0: systemd is asked, and the call is its answer's. */
static int bound(VolumeCall *c) {
        _cleanup_close_ int data = -EBADF;
        struct statfs fs;
        int r;

        data = open_data(c);
        if (data < 0)
                return data;
        if (c->spec.bytes == 0 || is_mount(data))
                return 0;
        r = bound_by_quota(c, data);
        if (r != -EOPNOTSUPP)
                return r;
        if (fstatfs(data, &fs) < 0)
                return -errno;
        c->on_tmpfs = fs.f_type == TMPFS_MAGIC;
        return ask_systemd(c, SYSTEMD_START_TRANSIENT, on_mounted);
}

int method_attach_volume(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_call_freep) VolumeCall *c = NULL;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r >= 0)
                r = volume_call_new(message, userdata, &c, error);
        if (r >= 0)
                r = read_path(c, error);
        if (r >= 0)
                r = bus_fields_read(message, volume_spec_fields, n_volume_spec_fields, &c->spec, error);
        if (r < 0)
                return r;
        c->sandbox = s->record.id;
        c->again = try_attach;
        r = bound(c);
        if (r < 0)
                return attach_error(c, r, error);
        if (r > 0)
                TAKE_PTR(c);
        else
                try_attach(TAKE_PTR(c));
        return 1;
}

static void answer_detach(const VolumeCall *c, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r >= 0) {
                (void) sd_bus_reply_method_return(c->message, NULL);
                return;
        }
        if (r == -EBUSY)
                (void) bus_error_set(&error, BUS_ERROR_WRONG_STATE, "The volume is in use at %s.", c->path);
        else if (r == -ENXIO)
                (void) bus_error_set(&error, BUS_ERROR_NO_SUCH_SANDBOX, "There is no sandbox '%s'.", c->sandbox.digits);
        else
                (void) method_error(&error, r, "detach the volume");
        (void) sd_bus_reply_method_error(c->message, &error);
}

static void on_detached(int r, void *userdata) {
        _cleanup_(volume_call_freep) VolumeCall *c = userdata;

        if (r == -EBUSY && c->busy_tries++ < BUSY_TRIES && wait_a_moment(c) >= 0)
                TAKE_PTR(c);
        else
                answer_detach(c, find_live(c) ? r : -ENXIO);
}

static int detach(VolumeCall *c) {
        _cleanup_close_ int data = -EBADF;
        Sandbox *s = find_live(c);

        if (!s)
                return -ENXIO;
        data = open_data(c);
        return data < 0 ? data : volume_unmount(s, &(VolumeMount) { .path = c->path, .data_fd = data }, on_detached, c);
}

/* Takes the call. */
static void try_detach(VolumeCall *call) {
        _cleanup_(volume_call_freep) VolumeCall *c = call;
        int r = detach(c);

        if (r >= 0 || is_later(c, r))
                TAKE_PTR(c);
        else
                answer_detach(c, r);
}

int method_detach_volume(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_call_freep) VolumeCall *c = NULL;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r >= 0)
                r = volume_call_new(message, userdata, &c, error);
        if (r >= 0)
                r = read_path(c, error);
        if (r < 0)
                return r;
        c->sandbox = s->record.id;
        c->again = try_detach;
        try_detach(TAKE_PTR(c));
        return 1;
}

static void on_unmounted(int error, const char *details, void *userdata) {
        _cleanup_(volume_call_freep) VolumeCall *c = userdata;

        service_release(c->manager->service);
        if (error >= 0)
                (void) sd_bus_reply_method_return(c->message, NULL);
        else
                (void) sd_bus_reply_method_errorf(c->message, BUS_ERROR_UNAVAILABLE,
                                                  "systemd did not unmount the volume: %s.", details ?: strerror(-error));
}

/* The bounds go before the files do: a project is looked for where nothing is left of one. */
static int release(VolumeCall *c) {
        _cleanup_close_ int data = -EBADF;
        uint32_t project = 0;
        int r;

        data = open_data(c);
        if (data < 0)
                return data == -ENOENT ? 0 : data;
        if (is_mount(data))
                return ask_systemd(c, SYSTEMD_STOP_WAIT, on_unmounted);
        r = quota_get_project(c->volume_fd, c->manager->fsd_uid, &project);
        if (r >= 0 && project != 0)
                r = quota_set(data, project, 0, 0);
        return r == -EOPNOTSUPP ? 0 : MIN(r, 0);
}

int method_release_volume(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_call_freep) VolumeCall *c = NULL;
        int r;

        r = method_check_peer(message, userdata, false, error);
        if (r >= 0)
                r = volume_call_new(message, userdata, &c, error);
        if (r < 0)
                return r;
        r = release(c);
        if (r > 0) {
                TAKE_PTR(c);
                return 1;
        }
        return r < 0 ? method_error(error, r, "release the volume") : sd_bus_reply_method_return(message, NULL);
}

/* Of a file system of its own that one's, else the project's. */
static int get_usage(const VolumeCall *c, uint64_t *ret_used, uint64_t *ret_max) {
        _cleanup_close_ int data = -EBADF;
        struct statvfs fs;
        uint32_t project;
        int r;

        data = open_data(c);
        if (data < 0)
                return data;
        if (is_mount(data)) {
                if (fstatvfs(data, &fs) < 0)
                        return -errno;
                *ret_max = fs.f_blocks * fs.f_frsize;
                *ret_used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
                return 0;
        }
        r = quota_get_project(c->volume_fd, c->manager->fsd_uid, &project);
        if (r >= 0 && project == 0)
                r = -EOPNOTSUPP;
        return r < 0 ? r : quota_get(data, project, ret_used, ret_max);
}

int method_volume_usage(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(volume_call_freep) VolumeCall *c = NULL;
        uint64_t used, max;
        int r;

        r = method_check_peer(message, userdata, false, error);
        if (r >= 0)
                r = volume_call_new(message, userdata, &c, error);
        if (r >= 0)
                r = get_usage(c, &used, &max);
        if (r == -EOPNOTSUPP)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "Nothing counts what is in the volume.");
        return r < 0 ? r : sd_bus_reply_method_return(message, "tt", used, max);
}
