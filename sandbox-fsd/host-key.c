/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/host-key.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/time-util.h"

/* A key is made from about a thousand files, which takes 5 ms: far more than all else that is done for a new sandbox.
 * So the directories that were looked at are watched. The kernel queues what happens to them before the system call
 * that does it returns: an empty queue means that nothing has. */

/* What others do to a network file system is not told: that is seen after a while. */
#define KEY_MAX_USEC (60 * USEC_PER_SEC)

static void key_forget(HostKey *k) {
        if (k->usec > 0)
                safe_close(k->watch_fd);
        *k = (HostKey) {};
}

static bool key_is_good(const HostKey *k, uint64_t now) {
        char event[sizeof(struct inotify_event) + NAME_MAX + 1];

        return now <= k->usec + KEY_MAX_USEC && read(k->watch_fd, event, sizeof event) < 0 && errno == EAGAIN;
}

/* That of this tree, else a free one, else the oldest. */
static HostKey *find(HostKeys *all, const struct stat *st) {
        HostKey *found = all->keys;

        for (size_t i = 0; i < HOST_KEYS_MAX; i++) {
                HostKey *k = all->keys + i;

                if (k->usec > 0 && k->device == st->st_dev && k->inode == st->st_ino)
                        return k;
                if (k->usec < found->usec)
                        found = k;
        }
        key_forget(found);
        return found;
}

int host_keys_get(HostKeys *all, int root_fd, char ret[HOST_LAYER_KEY_MAX]) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        _cleanup_close_ int watch_fd = -EBADF;
        struct stat st;
        HostKey *k;
        int r;

        if (fstat(root_fd, &st) < 0)
                return -errno;
        k = find(all, &st);
        if (k->usec > 0 && key_is_good(k, now)) {
                memcpy(ret, k->key, HOST_LAYER_KEY_MAX);
                return 0;
        }
        key_forget(k);

        watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        r = host_layer_key(root_fd, &watch_fd, ret);
        if (r < 0 || watch_fd < 0)
                return r; /* without watches it is made anew each time */
        *k = (HostKey) { .device = st.st_dev, .inode = st.st_ino, .usec = now, .watch_fd = TAKE_FD(watch_fd) };
        memcpy(k->key, ret, HOST_LAYER_KEY_MAX);
        return 0;
}

void host_keys_done(HostKeys *all) {
        for (size_t i = 0; i < HOST_KEYS_MAX; i++)
                key_forget(all->keys + i);
}
