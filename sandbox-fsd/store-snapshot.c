/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/store.h"

/* Snapshots on disk. Who stands on one is a link in roots/, written before the sandbox gets to see it and removed with the
 * sandbox's root: counting these is counting references, and no crash can make the count wrong. A deleted one that is
 * in use gets another name, under which it is found when its last user goes; who uses it does not notice. */

#define LAYER_PREFIX ".layer-"

bool snapshot_id_is_valid(const char *id) {
        return object_id_is_valid(id, "snap");
}

typedef struct Name {
        char text[128];
} Name;

static Name name_of(const char *prefix, const char *snapshot) {
        Name name;

        (void) snprintf(name.text, sizeof name.text, "%s%s", prefix, snapshot);
        return name;
}

static Name use_name(const char *sandbox, const char *snapshot) {
        Name name;

        (void) snprintf(name.text, sizeof name.text, STORE_SNAPSHOT_USE_PREFIX "%s-%s", sandbox, snapshot);
        return name;
}

static int set_layer(const Store *s, const char *snapshot, const char *sandbox) {
        _cleanup_free_ char *layer = NULL;
        int r;

        r = store_get_use(s, sandbox, &layer);
        if (r < 0)
                return r;
        (void) unlinkat(s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text, 0);
        return symlinkat(layer, s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text) < 0 ? -errno : 0;
}

/* A restored sandbox stands on the layer of what it was restored from, whatever it began with. */
static int set_layer_of(const Store *s, const char *snapshot, const char *sandbox) {
        _cleanup_free_ char *below = NULL, *layer = NULL;
        int r;

        r = store_get_used_snapshot(s, sandbox, &below);
        if (r == -ENOENT)
                return set_layer(s, snapshot, sandbox);
        if (r >= 0)
                r = store_get_snapshot_layer(s, below, &layer);
        if (r < 0)
                return r;
        (void) unlinkat(s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text, 0);
        return symlinkat(layer, s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text) < 0 ? -errno : 0;
}

int store_make_snapshot(const Store *s, const char *snapshot, const char *sandbox, int *ret_fd) {
        static const char *const children[] = { "u", "u2" };
        Name name = name_of(STORE_SNAPSHOT_TEMPORARY_PREFIX, snapshot);
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        assert(snapshot_id_is_valid(snapshot));

        if (mkdirat(s->snapshots_fd, name.text, 0700) < 0)
                return -errno;
        fd = openat(s->snapshots_fd, name.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(children); i++)
                r = store_make_foreign(fd, children[i], 0755);
        if (r >= 0)
                r = set_layer_of(s, snapshot, sandbox);
        if (r < 0)
                return r;
        if (fchown(fd, FOREIGN_BASE, FOREIGN_BASE) < 0)
                return -errno;
        *ret_fd = openat(s->snapshots_fd, name.text, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return *ret_fd < 0 ? -errno : 0;
}

int store_publish_snapshot(const Store *s, const char *snapshot) {
        if (renameat2(s->snapshots_fd, name_of(STORE_SNAPSHOT_TEMPORARY_PREFIX, snapshot).text, s->snapshots_fd, snapshot,
                      RENAME_NOREPLACE) < 0)
                return -errno;
        return 0;
}

int store_open_snapshot(const Store *s, const char *snapshot) {
        int fd = openat(s->snapshots_fd, snapshot, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0 && errno == ENOENT)
                fd = openat(s->snapshots_fd, name_of(STORE_UNWANTED_PREFIX, snapshot).text,
                            O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

int store_get_snapshot_layer(const Store *s, const char *snapshot, char **ret_layer) {
        return store_read_link(s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text, ret_layer);
}

/* The content tells the order: a sandbox that was restored has more than one of them. */
static int latest_use(const Store *s, const char *sandbox, unsigned long *ret_order, char **ret_snapshot) {
        _cleanup_strv_free_ char **names = NULL;
        Name prefix = use_name(sandbox, "");
        const char *latest = NULL;
        unsigned long highest = 0;
        int r;

        r = store_list_leftovers(s->roots_fd, prefix.text, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *order = NULL;

                if (store_read_link(s->roots_fd, *name, &order) < 0 || strtoul(order, NULL, 10) <= highest)
                        continue;
                highest = strtoul(order, NULL, 10);
                latest = *name + strlen(prefix.text);
        }
        *ret_order = highest;
        if (!ret_snapshot)
                return 0;
        *ret_snapshot = latest ? strdup(latest) : NULL;
        return *ret_snapshot ? 0 : latest ? -ENOMEM : -ENOENT;
}

int store_use_snapshot(const Store *s, const char *sandbox, const char *snapshot) {
        Name name = use_name(sandbox, snapshot);
        unsigned long highest;
        char order[24];
        int r;

        r = latest_use(s, sandbox, &highest, NULL);
        if (r < 0)
                return r;
        (void) snprintf(order, sizeof order, "%lu", highest + 1);
        if (unlinkat(s->roots_fd, name.text, 0) < 0 && errno != ENOENT)
                return -errno;
        return symlinkat(order, s->roots_fd, name.text) < 0 ? -errno : 0;
}

int store_get_used_snapshot(const Store *s, const char *sandbox, char **ret_snapshot) {
        unsigned long order;

        return latest_use(s, sandbox, &order, ret_snapshot);
}

void store_forget_snapshots(const Store *s, const char *sandbox) {
        _cleanup_strv_free_ char **names = NULL;

        if (store_list_leftovers(s->roots_fd, use_name(sandbox, "").text, &names) < 0)
                return;
        STRV_FOREACH(name, names)
                (void) unlinkat(s->roots_fd, *name, 0);
}

static int is_used(const Store *s, const char *snapshot) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->roots_fd, STORE_SNAPSHOT_USE_PREFIX, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                if (endswith(*name, snapshot))
                        return 1;
        return 0;
}

/* Within the directory, which is ours. The note of its layer goes last: that layer is free then. */
static int retire(const Store *s, const char *from, const char *snapshot, char **ret_name) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_random_name(STORE_GONE_PREFIX, &name);
        if (r < 0)
                return r;
        if (renameat(s->snapshots_fd, from, s->snapshots_fd, name) < 0)
                return -errno;
        (void) unlinkat(s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text, 0);
        *ret_name = TAKE_PTR(name);
        return 0;
}

int store_retire_snapshot(const Store *s, const char *snapshot, char **ret_name) {
        int r;

        assert(snapshot_id_is_valid(snapshot));

        r = is_used(s, snapshot);
        if (r < 0)
                return r;
        if (r > 0) {
                *ret_name = NULL;
                return renameat(s->snapshots_fd, snapshot, s->snapshots_fd,
                                name_of(STORE_UNWANTED_PREFIX, snapshot).text) < 0 && errno != ENOENT
                               ? -errno : 0;
        }
        r = retire(s, snapshot, snapshot, ret_name);
        if (r == -ENOENT) /* one that was never finished */
                r = retire(s, name_of(STORE_SNAPSHOT_TEMPORARY_PREFIX, snapshot).text, snapshot, ret_name);
        if (r == -ENOENT)
                (void) unlinkat(s->snapshots_fd, name_of(LAYER_PREFIX, snapshot).text, 0);
        return r;
}

int store_retire_unwanted(const Store *s, char **ret_name) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->snapshots_fd, STORE_UNWANTED_PREFIX, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                const char *snapshot = *name + strlen(STORE_UNWANTED_PREFIX);

                if (is_used(s, snapshot) == 0)
                        return retire(s, *name, snapshot, ret_name);
        }
        return -ENOENT;
}

void store_retire_unfinished(const Store *s) {
        _cleanup_strv_free_ char **names = NULL;

        if (store_list_leftovers(s->snapshots_fd, STORE_SNAPSHOT_TEMPORARY_PREFIX, &names) < 0)
                return;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *gone = NULL;

                (void) retire(s, *name, *name + strlen(STORE_SNAPSHOT_TEMPORARY_PREFIX), &gone);
        }
}

int store_list_snapshots(const Store *s, char ***ret_ids) {
        return store_list_leftovers(s->snapshots_fd, "snap_", ret_ids);
}

int store_list_snapshot_layers(const Store *s, char ***layers) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->snapshots_fd, LAYER_PREFIX, &names);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *layer = NULL;

                if (r >= 0)
                        r = store_read_link(s->snapshots_fd, *name, &layer);
                if (r >= 0)
                        r = strv_extend(layers, layer);
        }
        return r;
}
