/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-fsd/images.h"
#include "sandbox-fsd/removal.h"

/* What goes: roots with their sandboxes, snapshots with those who stand on them. */

/* What was deleted while somebody stood on it, and nobody does now. */
void images_remove_unwanted(Images *i) {
        for (;;) {
                _cleanup_free_ char *name = NULL;

                if (store_retire_unwanted(&i->store, &name) < 0 ||
                    removal_start(i, i->store.snapshots_fd, name) < 0)
                        return;
        }
}

int images_remove_snapshot(Images *i, const char *snapshot) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_retire_snapshot(&i->store, snapshot, &name);
        i->collect_due = true;
        if (r >= 0 && name)
                r = removal_start(i, i->store.snapshots_fd, name);
        images_remove_unwanted(i); /* that it stood on */
        return r;
}

/* Of restores; they went on being mapped until now. */
static void remove_old_roots(Images *i, const char *id) {
        for (;;) {
                _cleanup_free_ char *name = NULL;

                if (store_retire_old_root(&i->store, id, &name) < 0 ||
                    removal_start(i, i->store.roots_fd, name) < 0)
                        return;
        }
}

int images_settle(Images *i, const char *id) {
        int r;

        r = store_forget_earlier(&i->store, id);
        remove_old_roots(i, id);
        images_remove_unwanted(i);
        i->collect_due = true;
        return r;
}

int images_revert(Images *i, const char *id, const char *snapshot) {
        _cleanup_free_ char *name = NULL;
        int r, k;

        r = store_unuse_snapshot(&i->store, id, snapshot);
        k = store_take_root_back(&i->store, id, snapshot, &name);
        if (name)
                (void) removal_start(i, i->store.roots_fd, name);
        images_remove_unwanted(i);
        return r < 0 && r != -ENOENT ? r : k == -ENOENT ? 0 : k;
}

/* The answer waits for the rename only. From then on the id may be used again. */
int images_remove_root(Images *i, const char *id) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_retire_root(&i->store, id, &name);
        (void) store_set_share_aside(&i->store, id);
        store_forget_use(&i->store, id);
        remove_old_roots(i, id);
        images_remove_unwanted(i);
        i->collect_due = true;
        if (r == -ENOENT)
                return 0;
        return r < 0 ? r : removal_start(i, i->store.roots_fd, name);
}
