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
#include "sandbox-fsd/removal.h"

/* A layer is made once, by a helper, under a temporary name, and is never changed after it got its own: sandboxes that
 * run on it share it without a lock. Everybody who wants it meanwhile waits for the same helper. */

#define HOST_KEY_USEC (2 * USEC_PER_SEC)
#define LAYER_TIMEOUT_USEC (30 * 60 * USEC_PER_SEC)
#define TAR_BYTES_MAX (16 * GiB)

typedef struct Waiter Waiter;

struct Waiter {
        Waiter *next;
        char *usr; /* path of the /usr to show, NULL: none */
        char *id;  /* whose writable directory, NULL: none */
        PrepareHandler handler;
        void *userdata;
};

/* A layer that is being made. */
typedef struct LayerJob {
        Images *images;
        char *key;       /* of the host's layer its name; of a tar the name of its link */
        bool is_tar;
        char *temporary;
        Helper *helper;
        Waiter *waiters;
} LayerJob;

void image_mounts_done(ImageMounts *m) {
        for (size_t i = 0; i < m->n; i++)
                safe_close(m->mounts[i].fd);
        m->n = 0;
}

/* Takes the descriptor over. */
static void mounts_add(ImageMounts *m, int fd, const char *target, uint32_t id_origin) {
        assert(m->n < IMAGE_MOUNTS_MAX);
        m->mounts[m->n++] = (ImageMount) { .fd = fd, .target = target, .id_origin = id_origin };
}

static Waiter *waiter_free(Waiter *w) {
        if (w) {
                free(w->usr);
                free(w->id);
                free(w);
        }
        return NULL;
}
DEFINE_CLEANUP(Waiter *, waiter_free)

static int open_directory_path(const char *path) {
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* What comes beside the layer. Takes layer_fd over. */
static int complete_mounts(Images *i, const Waiter *w, int layer_fd, uint32_t id_origin, ImageMounts *m) {
        int fd, r;

        mounts_add(m, layer_fd, "layer", id_origin);
        if (w->usr) {
                fd = open_directory_path(w->usr);
                if (fd < 0)
                        return fd;
                mounts_add(m, fd, "usr", 0);
        }
        if (w->id) {
                r = store_open_root(&i->store, w->id, &fd);
                if (r < 0)
                        return r;
                mounts_add(m, fd, "upper", FOREIGN_BASE);
        }
        return 0;
}

static void set_error(sd_bus_error *error, int r, const char *text) {
        const char *name = r == -ENOSPC || r == -EDQUOT ? BUS_ERROR_NO_SPACE
                         : r == -EFBIG                  ? BUS_ERROR_TOO_LARGE
                         : r == -ETIMEDOUT              ? BUS_ERROR_TIMED_OUT
                         : r == -EBADMSG                ? BUS_ERROR_INVALID
                                                        : BUS_ERROR_UNAVAILABLE;

        (void) bus_error_set(error, name, "Failed to prepare the image: %s", isempty(text) ? strerror(-r) : text);
}

static void waiter_fail(Waiter *w, int r, const char *text) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        set_error(&error, r, text);
        w->handler(r, NULL, &error, w->userdata);
}

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
        free(j->temporary);
        free(j);
        return NULL;
}
DEFINE_CLEANUP(LayerJob *, layer_job_free)

static void waiter_answer(Images *i, Waiter *w, int layer_fd, uint32_t id_origin) {
        _cleanup_(image_mounts_done) ImageMounts mounts = {};
        int r;

        r = complete_mounts(i, w, layer_fd, id_origin, &mounts);
        if (r < 0)
                waiter_fail(w, r, "its directories cannot be opened");
        else
                w->handler(0, &mounts, NULL, w->userdata);
}

static void job_finish(LayerJob *j, int r, const char *text, const char *layer) {
        while (j->waiters) {
                _cleanup_(waiter_freep) Waiter *w = j->waiters;
                int fd = r < 0 ? r : store_open_layer(&j->images->store, layer);

                j->waiters = w->next;
                if (fd < 0)
                        waiter_fail(w, fd, text);
                else
                        waiter_answer(j->images, w, fd, FOREIGN_BASE);
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

static int job_get(Images *i, const char *key, bool is_tar, int source_fd, LayerJob **ret) {
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
        if (!j->key)
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
        if (fd >= 0) {
                waiter_answer(i, w, fd, FOREIGN_BASE);
                waiter_free(w);
                return 0;
        }
        if (fd != -ENOENT)
                return fd;
        r = job_get(i, key, !streq_ptr(key, layer), source_fd, &j);
        if (r < 0)
                return r;
        w->next = j->waiters;
        j->waiters = w;
        return 0;
}

/* The one of this directory, else the oldest. */
static HostKey *find_host_key(Images *i, const struct stat *st) {
        HostKey *found = i->host_keys;

        for (size_t n = 0; n < ELEMENTSOF(i->host_keys); n++) {
                HostKey *k = i->host_keys + n;

                if (k->inode == st->st_ino && k->device == st->st_dev)
                        return k;
                if (k->usec < found->usec)
                        found = k;
        }
        *found = (HostKey) { .device = st->st_dev, .inode = st->st_ino };
        return found;
}

/* The key is made from about a thousand files, which takes longer than all the rest of a creation; many sandboxes in a
 * row share one look. */
static int host_key(Images *i, int root_fd, char ret[HOST_LAYER_KEY_MAX]) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        struct stat st;
        HostKey *k;
        int r;

        if (fstat(root_fd, &st) < 0)
                return -errno;
        k = find_host_key(i, &st);
        if (k->key[0] == 0 || now > usec_add(k->usec, HOST_KEY_USEC)) {
                r = host_layer_key(root_fd, k->key);
                if (r < 0) {
                        *k = (HostKey) {};
                        return r;
                }
                k->usec = now;
        }
        memcpy(ret, k->key, HOST_LAYER_KEY_MAX);
        return 0;
}

static int prepare_host(Images *i, const Image *image, Waiter *w) {
        const char *usr = image->path ? image->path : "/usr";
        _cleanup_close_ int usr_fd = -EBADF, root_fd = -EBADF;
        char key[HOST_LAYER_KEY_MAX];
        int r;

        usr_fd = open_directory_path(usr);
        if (usr_fd < 0)
                return usr_fd;
        root_fd = openat(usr_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return -errno;
        w->usr = strdup(usr);
        if (!w->usr)
                return -ENOMEM;
        r = host_key(i, root_fd, key);
        return r < 0 ? r : wait_for_layer(i, key, key, root_fd, w);
}

static int prepare_directory(Images *i, const Image *image, Waiter *w) {
        int fd = open_directory_path(image->path);

        if (fd < 0)
                return fd;
        waiter_answer(i, w, fd, 0);
        waiter_free(w);
        return 0;
}

/* The link says what a file of this inode, size and time was unpacked to; the layer is named by its content. */
static int prepare_tar(Images *i, const Image *image, Waiter *w) {
        _cleanup_free_ char *layer = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        char key[128];
        int r;

        fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        if ((uint64_t) st.st_size > TAR_BYTES_MAX)
                return -EFBIG;
        (void) snprintf(key, sizeof key, "by-file-%llx-%llx-%llx-%llx.%09lx", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino, (unsigned long long) st.st_size,
                        (unsigned long long) st.st_mtim.tv_sec, (unsigned long) st.st_mtim.tv_nsec);
        r = store_get_link(&i->store, key, &layer);
        if (r < 0 && r != -ENOENT)
                return r;
        return wait_for_layer(i, key, layer, fd, w);
}

static int waiter_new(const PrepareRequest *request, Waiter **ret) {
        _cleanup_(waiter_freep) Waiter *w = new0(Waiter, 1);

        if (!w)
                return -ENOMEM;
        w->handler = request->handler;
        w->userdata = request->userdata;
        w->id = request->on_disk ? strdup(request->id) : NULL;
        if (request->on_disk && !w->id)
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
        r = waiter_new(request, &w);
        if (r < 0)
                return r;

        r = prepare[image->kind](i, image, w);
        if (r < 0) {
                set_error(error, r, "its source cannot be read");
                return log_warning_errno(r, "Failed to prepare image '%s' (%s): %m", request->image, image->source);
        }
        w = NULL; /* answered, or in the queue of a job */
        return 0;
}

int images_remove_root(Images *i, const char *id) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_retire_root(&i->store, id, &name);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? r : removal_start(i, i->store.roots_fd, name);
}

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
        };
        if (!i->jobs || !i->removals)
                return log_oom();
        r = store_open(options->store_directory, &i->store);
        if (r < 0)
                return log_error_errno(r, "Failed to open the store %s: %m", options->store_directory);

        remove_leftovers(i, i->store.images_fd, STORE_TEMPORARY_PREFIX);
        remove_leftovers(i, i->store.roots_fd, STORE_GONE_PREFIX);
        return 0;
}

void images_done(Images *i) {
        LayerJob *j;

        if (i->jobs)
                HASHMAP_FOREACH(j, i->jobs)
                        layer_job_free(j);
        i->jobs = hashmap_free(i->jobs);
        removals_done(i);
        i->removals = hashmap_free(i->removals);
        catalog_done(&i->catalog);
        store_done(&i->store);
}
