/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/helper.h"
#include "sandbox-fsd/host-layer.h"
#include "sandbox-fsd/images-internal.h"
#include "sandbox-fsd/removal.h"

/* A layer is made once, by a helper, under a temporary name, and is never changed after it got its own: sandboxes that
 * run on it share it without a lock. Everybody who wants it meanwhile waits for the same helper. */

#define LAYER_TIMEOUT_USEC (30 * 60 * USEC_PER_SEC)
#define TAR_BYTES_MAX (16 * GiB)
#define LINK_NAME_MAX 128U
#define DIGEST_DIFFERS "it does not have the digest that is asked for"

/* A layer that is being made. */
typedef struct LayerJob {
        Images *images;
        char *key;       /* of the host's layer its name; of a tar the name of its link */
        bool is_tar;
        char *digest;    /* that the first one who asked expects */
        char *temporary;
        Helper *helper;
        Waiter *waiters;
} LayerJob;

static Waiter *waiter_free(Waiter *w) {
        if (w) {
                free(w->usr);
                free(w->id);
                free(w->digest);
                free(w->snapshot);
                free(w->share);
                free(w);
        }
        return NULL;
}
DEFINE_CLEANUP(Waiter *, waiter_free)

/* A full disk, a tar that is too large and one that is none are for the operator to tell apart, the rest is ours. */
static void set_error(sd_bus_error *error, int r, const char *text) {
        const char *name = r == -ENOSPC || r == -EDQUOT ? BUS_ERROR_NO_SPACE
                         : r == -EFBIG                  ? BUS_ERROR_TOO_LARGE
                         : r == -ETIMEDOUT              ? BUS_ERROR_TIMED_OUT
                         : r == -EBADMSG                ? BUS_ERROR_INVALID
                         : r == -E2BIG                  ? BUS_ERROR_WRONG_STATE
                                                        : BUS_ERROR_UNAVAILABLE;

        (void) bus_error_set(error, name, "Failed to prepare the image: %s", isempty(text) ? strerror(-r) : text);
}

static void waiter_fail(Waiter *w, int r, const char *text) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        set_error(&error, r, text);
        w->handler(r, NULL, &error, w->userdata);
}

/* Whoever still waits is answered first: a call without an answer would hang until its own timeout. */
static LayerJob *layer_job_free(LayerJob *j) {
        if (!j)
                return NULL;
        (void) hashmap_remove(j->images->jobs, j->key);
        while (j->waiters) {
                Waiter *w = j->waiters;

                j->waiters = w->next;
                waiter_fail(w, -ECANCELED, "the service ends");
                waiter_free(w);
        }
        helper_free(j->helper);
        free(j->key);
        free(j->digest);
        free(j->temporary);
        free(j);
        return NULL;
}
DEFINE_CLEANUP(LayerJob *, layer_job_free)

/* What it began with stays noted: should the restore fail, that is what it still has. The snapshot holds its own layer. */
static bool is_restore(const Images *i, const Waiter *w) {
        _cleanup_free_ char *layer = NULL;

        return (w->snapshot || w->share) && store_get_use(&i->store, w->id, &layer) >= 0;
}

/* layer is its name in the store, NULL for an operator's directory. That it is used is written down before anybody gets
 * to use it. */
static void waiter_answer(Images *i, Waiter *w, const char *layer, int layer_fd, uint32_t id_origin) {
        _cleanup_(image_mounts_done) ImageMounts mounts = {};
        int r;

        r = images_complete_mounts(i, w, layer_fd, id_origin, &mounts);
        if (r >= 0 && !is_restore(i, w))
                r = store_set_use(&i->store, w->id, layer);
        if (r < 0)
                waiter_fail(w, r, "its directories cannot be opened");
        else
                w->handler(0, &mounts, NULL, w->userdata);
}

static bool has_digest(const char *layer, const char *digest) {
        const char *digits = startswith(layer, "sha256-");

        return !digest || (digits && streq(digits, digest));
}

/* Each waiter gets a descriptor of his own, since each hands it on to execd and closes it. */
static void job_finish(LayerJob *j, int r, const char *text, const char *layer) {
        while (j->waiters) {
                _cleanup_(waiter_freep) Waiter *w = j->waiters;
                int fd = r < 0 ? r : store_open_layer(&j->images->store, layer);

                j->waiters = w->next;
                if (fd < 0)
                        waiter_fail(w, fd, text);
                else if (!has_digest(layer, w->digest)) {
                        safe_close(fd);
                        waiter_fail(w, -EBADMSG, DIGEST_DIFFERS);
                } else
                        waiter_answer(j->images, w, layer, fd, FOREIGN_BASE);
        }
}

/* The work is done: the layer gets its name. text is the digest of a tar. */
static int job_publish(LayerJob *j, const char *text, char layer[96]) {
        Store *s = &j->images->store;
        int r;

        (void) snprintf(layer, 96, j->is_tar ? "sha256-%s" : "%s", j->is_tar ? text : j->key);
        r = store_publish(s, j->temporary, layer);
        if (r == -EEXIST) /* the same content came by another path */
                r = removal_start(j->images, s->images_fd, j->temporary);
        if (r >= 0 && j->is_tar)
                r = store_set_link(s, j->key, layer);
        return r;
}

static void on_layer_done(int error, const char *text, void *userdata) {
        _cleanup_(layer_job_freep) LayerJob *j = userdata;
        char layer[96] = "";
        int r = error;

        j->helper = NULL;
        if (r >= 0 && j->digest && !streq(text, j->digest)) {
                r = -EBADMSG;
                text = DIGEST_DIFFERS;
        }
        if (r >= 0) {
                r = job_publish(j, text, layer);
                text = "the layer cannot be named";
        }
        if (r < 0) {
                log_warning_errno(r, "Failed to make layer %s: %s: %m", j->key, text);
                (void) removal_start(j->images, j->images->store.images_fd, j->temporary);
        }
        job_finish(j, r, text, layer);
}

/* source_fd is what the work reads, borrowed. */
static int job_start(LayerJob *j, const char *work, int source_fd) {
        _cleanup_close_ int target_fd = -EBADF;
        int r;

        r = store_make_temporary(&j->images->store, &j->temporary, &target_fd);
        if (r < 0)
                return r;
        return helper_new(&(HelperOptions) {
                .service = j->images->service,
                .program = j->images->program,
                .work = work,
                .fds = { target_fd, source_fd },
                .n_fds = 2,
                .timeout_usec = LAYER_TIMEOUT_USEC,
                .handler = on_layer_done,
                .userdata = j,
        }, &j->helper);
}

static int job_get(Images *i, const char *key, const char *digest, bool is_tar, int source_fd, LayerJob **ret) {
        _cleanup_(layer_job_freep) LayerJob *j = NULL;
        int r;

        *ret = hashmap_get(i->jobs, key);
        if (*ret)
                return 0;

        j = new0(LayerJob, 1);
        if (!j)
                return -ENOMEM;
        j->images = i;
        j->is_tar = is_tar;
        j->key = strdup(key);
        j->digest = digest ? strdup(digest) : NULL;
        if (!j->key || (digest && !j->digest))
                return -ENOMEM;
        r = hashmap_put(i->jobs, j->key, j);
        if (r >= 0)
                r = job_start(j, is_tar ? "unpack" : "host-layer", source_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

/* Answers now if the layer is there, else when it is. Takes the waiter over if 0 is returned. */
static int wait_for_layer(Images *i, const char *key, const char *layer, int source_fd, Waiter *w) {
        LayerJob *j;
        int fd, r;

        fd = layer ? store_open_layer(&i->store, layer) : -ENOENT;
        if (fd >= 0 && !has_digest(layer, w->digest)) {
                safe_close(fd);
                return -EBADMSG;
        }
        if (fd >= 0) {
                waiter_answer(i, w, layer, fd, FOREIGN_BASE);
                waiter_free(w);
                return 0;
        }
        if (fd != -ENOENT)
                return fd;
        r = job_get(i, key, w->digest, !streq_ptr(key, layer), source_fd, &j);
        if (r < 0)
                return r;
        w->next = j->waiters;
        j->waiters = w;
        return 0;
}

static int prepare_host(Images *i, const Image *image, Waiter *w) {
        const char *usr = image->path ? image->path : IMAGE_HOST_USR;
        _cleanup_close_ int usr_fd = -EBADF, root_fd = -EBADF;
        char key[HOST_LAYER_KEY_MAX];
        int r;

        usr_fd = images_open_directory(usr);
        if (usr_fd < 0)
                return usr_fd;
        root_fd = openat(usr_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return -errno;
        w->usr = strdup(usr);
        if (!w->usr)
                return -ENOMEM;
        r = host_keys_get(&i->host_keys, root_fd, key);
        return r < 0 ? r : wait_for_layer(i, key, key, root_fd, w);
}

/* Shown as it is, by the ids that it has on disk: an operator's tree is not copied, and so must not change. */
static int prepare_directory(Images *i, const Image *image, Waiter *w) {
        int fd = images_open_directory(image->path);

        if (fd < 0)
                return fd;
        waiter_answer(i, w, /* layer= */ NULL, fd, 0);
        waiter_free(w);
        return 0;
}

static void format_link(const struct stat *st, char ret[static LINK_NAME_MAX]) {
        (void) snprintf(ret, LINK_NAME_MAX, STORE_LINK_PREFIX "%llx-%llx-%llx-%llx.%09lx",
                        (unsigned long long) st->st_dev, (unsigned long long) st->st_ino,
                        (unsigned long long) st->st_size, (unsigned long long) st->st_mtim.tv_sec,
                        (unsigned long) st->st_mtim.tv_nsec);
}

/* The link says what a file of this inode, size and time was unpacked to; the layer is named by its content. */
static int prepare_tar(Images *i, const Image *image, Waiter *w) {
        _cleanup_free_ char *layer = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        char key[LINK_NAME_MAX];
        int r;

        fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        if ((uint64_t) st.st_size > TAR_BYTES_MAX)
                return -EFBIG;
        format_link(&st, key);
        r = store_get_link(&i->store, key, &layer);
        if (r < 0 && r != -ENOENT)
                return r;
        return wait_for_layer(i, key, layer, fd, w);
}

static int add_needed_host(Images *i, const Image *image, char ***names) {
        _cleanup_close_ int usr_fd = -EBADF, root_fd = -EBADF;
        char key[HOST_LAYER_KEY_MAX];
        int r;

        usr_fd = images_open_directory(image->path ? image->path : IMAGE_HOST_USR);
        if (usr_fd < 0)
                return 0;
        root_fd = openat(usr_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return 0;
        r = host_keys_get(&i->host_keys, root_fd, key);
        return r < 0 ? 0 : strv_extend(names, key);
}

static int add_needed_tar(Images *i, const Image *image, char ***names) {
        _cleanup_free_ char *layer = NULL;
        char key[LINK_NAME_MAX];
        struct stat st;
        int r;

        if (stat(image->path, &st) < 0)
                return 0;
        format_link(&st, key);
        if (store_get_link(&i->store, key, &layer) < 0)
                return 0;
        r = strv_extend(names, key);
        return r < 0 ? r : strv_extend(names, layer);
}

/* A source that cannot be read now needs nothing: were it to come back, its layer would be made anew. */
int images_add_needed(Images *i, const Image *image, char ***names) {
        return image->kind == IMAGE_HOST ? add_needed_host(i, image, names)
             : image->kind == IMAGE_TAR  ? add_needed_tar(i, image, names)
                                         : 0;
}

/* Not what the image leads to now, but what somebody has below him already. */
static int prepare_same(Images *i, const Image *image, Waiter *w, const char *layer) {
        int fd;

        if (image->kind == IMAGE_DIR || streq(layer, STORE_NO_LAYER))
                return prepare_directory(i, image, w);
        if (image->kind == IMAGE_HOST) {
                w->usr = strdup(image->path ? image->path : IMAGE_HOST_USR);
                if (!w->usr)
                        return -ENOMEM;
        }
        fd = store_open_layer(&i->store, layer);
        if (fd < 0)
                return fd;
        waiter_answer(i, w, layer, fd, FOREIGN_BASE);
        waiter_free(w);
        return 0;
}

/* A share that was interrupted may have noted already that the sandbox stands on what it wrote: then what is below that. */
static int find_base(Images *i, const PrepareRequest *request, Waiter *w) {
        _cleanup_free_ char *latest = NULL;
        int r;

        w->share = strdup(request->share);
        if (!w->share)
                return -ENOMEM;
        r = store_get_used_snapshot(&i->store, request->id, &latest);
        if (r < 0)
                return r;
        if (streq(latest, request->share))
                return store_get_snapshot_below(&i->store, latest, &w->snapshot);
        w->snapshot = TAKE_PTR(latest);
        return 0;
}

/* 0: none of them is asked for. */
static int find_same(Images *i, const PrepareRequest *request, Waiter *w, char **ret_layer) {
        const char *from = request->share ? request->id : request->from;
        int r = 0;

        if (!from && !request->snapshot)
                return 0;
        if (request->share)
                r = find_base(i, request, w);
        else if (request->snapshot)
                w->snapshot = strdup(request->snapshot);
        else
                r = store_get_used_snapshot(&i->store, from, &w->snapshot);
        if (r < 0 && r != -ENOENT)
                return r;
        if (request->snapshot && !w->snapshot)
                return -ENOMEM;
        w->merged = request->from && w->snapshot &&
                    store_snapshot_is_adopted(&i->store, request->from, w->snapshot);
        r = w->snapshot ? store_get_snapshot_layer(&i->store, w->snapshot, ret_layer)
                        : store_get_use(&i->store, from, ret_layer);
        return r < 0 ? r : 1;
}

static int waiter_new(const PrepareRequest *request, const Image *image, Waiter **ret) {
        _cleanup_(waiter_freep) Waiter *w = new0(Waiter, 1);

        if (!w)
                return -ENOMEM;
        w->handler = request->handler;
        w->userdata = request->userdata;
        w->on_disk = request->on_disk;
        w->id = strdup(request->id);
        w->digest = image->digest ? strdup(image->digest) : NULL;
        if (!w->id || (image->digest && !w->digest))
                return -ENOMEM;
        *ret = TAKE_PTR(w);
        return 0;
}

int images_prepare(Images *i, const PrepareRequest *request, sd_bus_error *error) {
        static int (*const prepare[_IMAGE_KIND_MAX])(Images *i, const Image *image, Waiter *w) = {
                [IMAGE_HOST] = prepare_host,
                [IMAGE_DIR] = prepare_directory,
                [IMAGE_TAR] = prepare_tar,
        };
        _cleanup_(waiter_freep) Waiter *w = NULL;
        _cleanup_free_ char *layer = NULL;
        const Image *image;
        int r;

        r = catalog_refresh(&i->catalog);
        if (r < 0)
                return r;
        r = catalog_find(&i->catalog, request->image, &image, error);
        if (r < 0)
                return r;
        if (!prepare[image->kind])
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "The source of image '%s' is not supported yet: %s",
                                     request->image, image->source);
        r = waiter_new(request, image, &w);
        if (r < 0)
                return r;

        r = find_same(i, request, w, &layer);
        if (r == -ENOENT)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "There is no such snapshot, or sandbox.");
        if (r >= 0)
                r = r > 0 ? prepare_same(i, image, w, layer) : prepare[image->kind](i, image, w);
        if (r < 0) {
                set_error(error, r, r == -EBADMSG && image->digest ? DIGEST_DIFFERS : "its source cannot be read");
                return log_warning_errno(r, "Failed to prepare image '%s' (%s): %m", request->image, image->source);
        }
        w = NULL; /* answered, or in the queue of a job */
        return 0;
}

/* What an earlier run of us began. Under these prefixes nothing is in use, so no lock is needed to know. */
static void remove_leftovers(Images *i, int directory_fd, const char *prefix) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(directory_fd, prefix, &names);
        if (r < 0)
                log_warning_errno(r, "Failed to look for leftovers, ignoring: %m");
        STRV_FOREACH(name, names)
                (void) removal_start(i, directory_fd, *name);
}

int images_init(Images *i, const ImagesOptions *options) {
        int r;

        *i = (Images) {
                .service = options->service,
                .program = options->program,
                .store = STORE_NULL,
                .catalog.directories = options->catalog_directories,
                .jobs = hashmap_new(),
                .removals = hashmap_new(),
                .collect_due = true,
        };
        if (!i->jobs || !i->removals)
                return log_oom();
        r = store_open(options->store_directory, &i->store);
        if (r < 0)
                return log_error_errno(r, "Failed to open the store %s: %m", options->store_directory);

        store_retire_unfinished(&i->store);
        store_mend_shares(&i->store);
        store_drop_notes(&i->store);
        remove_leftovers(i, i->store.images_fd, STORE_TEMPORARY_PREFIX);
        remove_leftovers(i, i->store.roots_fd, STORE_GONE_PREFIX);
        remove_leftovers(i, i->store.snapshots_fd, STORE_GONE_PREFIX);
        images_remove_unwanted(i);
        remove_leftovers(i, i->store.volumes_fd, STORE_GONE_PREFIX);
        return 0;
}

void images_done(Images *i) {
        LayerJob *j;

        if (i->jobs)
                HASHMAP_FOREACH(j, i->jobs)
                        layer_job_free(j);
        i->jobs = hashmap_free(i->jobs);
        host_keys_done(&i->host_keys);
        removals_done(i);
        i->removals = hashmap_free(i->removals);
        catalog_done(&i->catalog);
        store_done(&i->store);
}
