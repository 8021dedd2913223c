/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"

/* The worker only puts watches on directories; the instance that has them goes to whoever asked, and the worker may end.
 * Instance and watches are charged to the sandbox's own user.
 *
 * inotify knows paths, not descriptors, and there is no /proc here that knows us. So a directory is opened as any other
 * and entered, and the watch is put on ".": nothing can be exchanged between the check and the watch. */

#define WATCHED                                                                                    \
        (IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | \
         IN_ONLYDIR | IN_EXCL_UNLINK)

typedef struct Walk {
        const FileRoot *root;
        const FileWatch *watch;
        FileWatchHandler handler;
        void *userdata;
        uint32_t n;
} Walk;

int file_watch_open(void) {
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        if (fd < 0)
                return errno == EMFILE ? -E2BIG : -errno;
        return fd;
}

static int put_watch(Walk *w, int directory_fd) {
        int wd, r = 0;

        if (w->n++ >= w->watch->max)
                return -E2BIG;
        if (fchdir(directory_fd) < 0)
                return -errno;
        wd = inotify_add_watch(w->watch->inotify_fd, ".", WATCHED);
        if (wd < 0)
                r = errno == ENOSPC ? -E2BIG : -errno;
        if (chdir("/") < 0)
                return -errno;
        return r < 0 ? r : wd;
}

static int tell(Walk *w, int wd, const char *path) {
        _cleanup_free_ char *clean = utf8_sanitize(path, strlen(path));

        return clean ? w->handler(wd, clean, w->userdata) : -ENOMEM;
}

static int watch_directory(Walk *w, int directory_fd, const char *path, unsigned depth);

static int watch_child(Walk *w, DIR *dir, const struct dirent *entry, const char *directory, unsigned depth) {
        _cleanup_free_ char *path = file_path_join(directory, entry->d_name);
        int fd;

        if (!path)
                return -ENOMEM;
        fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 && errno == ENOTDIR && w->watch->entries)
                return tell(w, -1, path);
        if (fd < 0 || depth >= FILE_DEPTH_MAX || file_root_check(w->root, fd) < 0) {
                safe_close(fd);
                return 0; /* gone, not readable or not for us */
        }
        return watch_directory(w, fd, path, depth);
}

/* The watch comes before the look at what is there: what is made in between is seen twice rather than never. */
static int watch_directory(Walk *w, int directory_fd, const char *path, unsigned depth) {
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        int r;

        r = directory_from_fd(directory_fd, &dir);
        if (r >= 0)
                r = put_watch(w, dirfd(dir));
        if (r >= 0)
                r = tell(w, r, path);
        while (r >= 0 && w->watch->recursive && (entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                if (now_usec(CLOCK_BOOTTIME) > w->watch->until_usec)
                        return -ETIMEDOUT;
                if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN || w->watch->entries)
                        r = watch_child(w, dir, entry, path, depth + 1);
        }
        return r;
}

int file_watch(const FileRoot *root, const char *path, const FileWatch *watch, FileWatchHandler handler,
               void *userdata) {
        Walk w = { .root = root, .watch = watch, .handler = handler, .userdata = userdata };
        int fd;

        fd = file_open(root, path, O_RDONLY | O_DIRECTORY);
        return fd < 0 ? fd : watch_directory(&w, fd, path, 0);
}
