/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/store.h"

/* Snapshots on disk. Who stands on one is a link in roots/, written before the sandbox gets to see it and removed with the
 * sandbox's root: counting these is counting references, and no crash can make the count wrong. A deleted one that is
 * in use gets another name, under which it is found when its last user goes; who uses it does not notice. */

#define LAYER_PREFIX ".layer-"
#define BELOW_PREFIX ".below-"
#define SIZE_PREFIX ".size-"

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

static int set_link(const Store *s, const char *prefix, const char *snapshot, const char *target) {
        return store_put_link(s->snapshots_fd, STORE_GONE_PREFIX, name_of(prefix, snapshot).text, target);
}

static int set_layer(const Store *s, const char *snapshot, const char *sandbox) {
        _cleanup_free_ char *layer = NULL;
        int r;

        r = store_get_use(s, sandbox, &layer);
        return r < 0 ? r : set_link(s, LAYER_PREFIX, snapshot, layer);
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
        return r < 0 ? r : set_link(s, LAYER_PREFIX, snapshot, layer);
}

int store_note_base(const Store *s, const char *snapshot, const char *sandbox) {
        _cleanup_free_ char *below = NULL;
        int r;

        r = set_layer_of(s, snapshot, sandbox);
        if (r >= 0)
                r = store_get_used_snapshot(s, sandbox, &below);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return set_link(s, BELOW_PREFIX, snapshot, below);
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

int store_publish_snapshot(const Store *s, const char *snapshot, uint64_t bytes) {
        char text[24];
        int r;

        (void) snprintf(text, sizeof text, "%" PRIu64, bytes);
        r = set_link(s, SIZE_PREFIX, snapshot, text);
        if (r < 0)
                return r;
        if (renameat2(s->snapshots_fd, name_of(STORE_SNAPSHOT_TEMPORARY_PREFIX, snapshot).text, s->snapshots_fd, snapshot,
                      RENAME_NOREPLACE) >= 0)
                return 0;
        r = -errno;
        if (r == -ENOENT) /* it counted as unfinished when we began */
                (void) unlinkat(s->snapshots_fd, name_of(SIZE_PREFIX, snapshot).text, 0);
        return r;
}

uint64_t store_get_snapshot_size(const Store *s, const char *snapshot) {
        _cleanup_free_ char *text = NULL;
        uint64_t bytes;

        return store_read_link(s->snapshots_fd, name_of(SIZE_PREFIX, snapshot).text, &text) >= 0 &&
                               parse_u64(text, &bytes) >= 0
                       ? bytes : 0;
}

int store_open_snapshot(const Store *s, const char *snapshot) {
        int fd = openat(s->snapshots_fd, snapshot, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0 && errno == ENOENT)
                fd = openat(s->snapshots_fd, name_of(STORE_UNWANTED_PREFIX, snapshot).text,
                            O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

int store_get_snapshot_below(const Store *s, const char *snapshot, char **ret_below) {
        return store_read_link(s->snapshots_fd, name_of(BELOW_PREFIX, snapshot).text, ret_below);
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

static int set_order(const Store *s, const char *use, const char *order) {
        return store_put_link(s->roots_fd, STORE_GONE_PREFIX, use, order);
}

/* "5,3": it was noted as the third one before; "5m": merged of what the sandbox began with. */
static int note_use(const Store *s, const char *sandbox, const char *snapshot, const char *mark) {
        Name name = use_name(sandbox, snapshot);
        _cleanup_free_ char *earlier = NULL;
        unsigned long highest;
        char order[48];
        int r;

        r = latest_use(s, sandbox, &highest, NULL);
        if (r < 0)
                return r;
        r = store_read_link(s->roots_fd, name.text, &earlier);
        if (r < 0 && r != -ENOENT)
                return r;
        if (earlier)
                (void) snprintf(order, sizeof order, "%lu%s,%.*s", highest + 1, mark, (int) strcspn(earlier, ","),
                                earlier);
        else
                (void) snprintf(order, sizeof order, "%lu%s", highest + 1, mark);
        return set_order(s, name.text, order);
}

int store_use_snapshot(const Store *s, const char *sandbox, const char *snapshot) {
        return note_use(s, sandbox, snapshot, "");
}

int store_adopt_snapshot(const Store *s, const char *sandbox, const char *snapshot) {
        _cleanup_free_ char *layer = NULL;
        int r;

        r = store_get_use(s, sandbox, &layer); /* it may have ended meanwhile */
        return r < 0 ? r : note_use(s, sandbox, snapshot, "m");
}

bool store_snapshot_is_adopted(const Store *s, const char *sandbox, const char *snapshot) {
        _cleanup_free_ char *order = NULL;

        return store_read_link(s->roots_fd, use_name(sandbox, snapshot).text, &order) >= 0 &&
               order[strspn(order, "0123456789")] == 'm';
}

int store_unuse_snapshot(const Store *s, const char *sandbox, const char *snapshot) {
        Name name = use_name(sandbox, snapshot);
        _cleanup_free_ char *order = NULL;
        const char *earlier;
        int r;

        r = store_read_link(s->roots_fd, name.text, &order);
        if (r < 0)
                return r;
        earlier = strchr(order, ',');
        if (earlier)
                return set_order(s, name.text, earlier + 1);
        return unlinkat(s->roots_fd, name.text, 0) < 0 ? -errno : 0;
}

int store_forget_earlier(const Store *s, const char *sandbox) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *latest = NULL;
        int r;

        r = store_get_used_snapshot(s, sandbox, &latest);
        if (r >= 0)
                r = store_list_leftovers(s->roots_fd, use_name(sandbox, "").text, &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names)
                if (!streq(*name, use_name(sandbox, latest).text))
                        (void) unlinkat(s->roots_fd, *name, 0);
        return 0;
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

static int is_below_another(const Store *s, const char *snapshot) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->snapshots_fd, BELOW_PREFIX, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *below = NULL;

                r = store_read_link(s->snapshots_fd, *name, &below);
                if (r < 0 && r != -ENOENT)
                        return r;
                if (below && streq(below, snapshot))
                        return 1;
        }
        return 0;
}

int store_snapshot_is_used(const Store *s, const char *snapshot) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->roots_fd, STORE_SNAPSHOT_USE_PREFIX, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                if (endswith(*name, snapshot))
                        return 1;
        return is_below_another(s, snapshot);
}

static const char *const note_prefixes[] = { BELOW_PREFIX, SIZE_PREFIX, LAYER_PREFIX };

static void drop_notes_of(const Store *s, const char *snapshot) {
        for (size_t i = 0; i < ELEMENTSOF(note_prefixes); i++)
                (void) unlinkat(s->snapshots_fd, name_of(note_prefixes[i], snapshot).text, 0);
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
        drop_notes_of(s, snapshot);
        *ret_name = TAKE_PTR(name);
        return 0;
}

int store_retire_snapshot(const Store *s, const char *snapshot, char **ret_name) {
        int r;

        assert(snapshot_id_is_valid(snapshot));

        r = store_snapshot_is_used(s, snapshot);
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
                drop_notes_of(s, snapshot);
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

                if (store_snapshot_is_used(s, snapshot) == 0)
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

static bool is_there(const Store *s, const char *snapshot) {
        static const char *const prefixes[] = { "", STORE_UNWANTED_PREFIX, STORE_SNAPSHOT_TEMPORARY_PREFIX };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (faccessat(s->snapshots_fd, name_of(prefixes[i], snapshot).text, F_OK, AT_SYMLINK_NOFOLLOW) >= 0)
                        return true;
        return false;
}

/* One that sandboxes stand on is about to be there: its notes come first (store_end_share()). */
void store_drop_notes(const Store *s) {
        for (size_t i = 0; i < ELEMENTSOF(note_prefixes); i++) {
                _cleanup_strv_free_ char **names = NULL;

                if (store_list_leftovers(s->snapshots_fd, note_prefixes[i], &names) < 0)
                        continue;
                STRV_FOREACH(name, names) {
                        const char *snapshot = *name + strlen(note_prefixes[i]);

                        if (!is_there(s, snapshot) && store_snapshot_is_used(s, snapshot) == 0)
                                (void) unlinkat(s->snapshots_fd, *name, 0);
                }
        }
}

int store_list_snapshots(const Store *s, char ***ret_ids) {
        return store_list_leftovers(s->snapshots_fd, "snap_", ret_ids);
}

int store_list_unwanted(const Store *s, char ***ret_ids) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->snapshots_fd, STORE_UNWANTED_PREFIX, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                memmove(*name, *name + strlen(STORE_UNWANTED_PREFIX), strlen(*name + strlen(STORE_UNWANTED_PREFIX)) + 1);
        *ret_ids = TAKE_PTR(names);
        return 0;
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
