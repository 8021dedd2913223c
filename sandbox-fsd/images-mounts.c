/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/images-internal.h"

/* What a root is put together from: the layer of its image, snapshots, and a place to write to. */

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

int images_open_directory(const char *path) {
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* The snapshot and all that it stands on. */
static int add_snapshots(Images *i, const char *snapshot, const char *target, size_t n, ImageMounts *m) {
        _cleanup_free_ char *name = strdup(snapshot);
        int r = name ? 0 : -ENOMEM;

        while (r >= 0) {
                char *below = NULL;
                int fd;

                if (n++ == SNAPSHOTS_STACKED_MAX)
                        return -E2BIG;
                fd = store_open_snapshot(&i->store, name);
                if (fd < 0)
                        return fd;
                mounts_add(m, fd, target, FOREIGN_BASE);
                r = store_get_snapshot_below(&i->store, name, &below);
                if (r >= 0)
                        free(name);
                name = r >= 0 ? below : name;
        }
        return r == -ENOENT ? 0 : r;
}

/* What is mapped now stays named as it is: only when the new root stands it becomes something else. */
static int share_mounts(Images *i, const Waiter *w, ImageMounts *m) {
        int written_fd, next_fd, r;

        r = store_open_share(&i->store, w->id, w->share, &written_fd, &next_fd);
        if (r < 0)
                return r;
        mounts_add(m, next_fd, "upper", FOREIGN_BASE);
        mounts_add(m, written_fd, "frozen", FOREIGN_BASE);
        return w->snapshot ? add_snapshots(i, w->snapshot, "frozen", 1, m) : 0;
}

static int add_root(Images *i, const Waiter *w, ImageMounts *m) {
        int fd, r;

        r = store_open_root(&i->store, w->id, &fd);
        if (r >= 0)
                mounts_add(m, fd, "upper", FOREIGN_BASE);
        return r;
}

/* What it wrote before is still mapped until its new root stands. */
static int set_aside(const Store *s, const Waiter *w) {
        int r = store_set_root_aside(s, w->id, w->snapshot);

        return r < 0 ? r : store_set_share_aside(s, w->id);
}

/* Noted before anybody is given it; taken back if nobody is. */
static int stand_on_snapshot(Images *i, const Waiter *w, ImageMounts *m) {
        int r;

        r = store_use_snapshot(&i->store, w->id, w->snapshot);
        if (r < 0)
                return r;
        r = add_snapshots(i, w->snapshot, w->merged ? "merged" : "frozen", 0, m);
        if (r < 0) {
                (void) store_unuse_snapshot(&i->store, w->id, w->snapshot);
                return r;
        }
        if (!w->on_disk)
                return 0;
        r = set_aside(&i->store, w);
        if (r >= 0)
                r = add_root(i, w, m);
        if (r < 0)
                (void) images_revert(i, w->id, w->snapshot);
        return r;
}

int images_complete_mounts(Images *i, const Waiter *w, int layer_fd, uint32_t id_origin, ImageMounts *m) {
        int fd;

        mounts_add(m, layer_fd, "layer", id_origin);
        if (w->usr) {
                fd = images_open_directory(w->usr);
                if (fd < 0)
                        return fd;
                mounts_add(m, fd, "usr", 0);
        }
        if (w->share)
                return share_mounts(i, w, m);
        return w->snapshot ? stand_on_snapshot(i, w, m) : w->on_disk ? add_root(i, w, m) : 0;
}
