/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/file-watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

/* Watches have numbers that only grow, so the table is sorted as it is made. A rename is two entries of the queue with
 * one cookie, next to each other unless another processor was at work in between; the first waits for what comes
 * next. */

#define BUFFER_SIZE (16 * KiB)
#define WANTED_MAX 1024U
#define FOUND_MAX 8192U

typedef struct Watch {
        int wd;
        char *path;
} Watch;

struct FileWatch {
        int fd;
        char *root;
        bool recursive, gone, lost;
        Watch *watches;
        size_t n_watches;
        char **wanted;          /* directories without a watch */
        WatchEvent *found;      /* what was there when a watch came */
        size_t n_found, next_found;
        WatchEvent half;        /* moved from here; type NULL: none */
        uint32_t cookie;
        size_t n, at;           /* bytes in the buffer, and how many of them are read */
        char buffer[BUFFER_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
};

void watch_event_done(WatchEvent *e) {
        free(e->path);
        free(e->from);
        *e = (WatchEvent) {};
}

int file_watch_new(int fd, const char *root, bool recursive, FileWatch **ret) {
        _cleanup_(file_watch_freep) FileWatch *w = new0(FileWatch, 1);

        if (!w) {
                safe_close(fd);
                return -ENOMEM;
        }
        w->fd = fd;
        w->recursive = recursive;
        w->root = strdup(root);
        if (!w->root)
                return -ENOMEM;
        *ret = TAKE_PTR(w);
        return 0;
}

FileWatch *file_watch_free(FileWatch *w) {
        if (!w)
                return NULL;
        safe_close(w->fd);
        for (size_t i = 0; i < w->n_watches; i++)
                free(w->watches[i].path);
        for (size_t i = w->next_found; i < w->n_found; i++)
                watch_event_done(w->found + i);
        watch_event_done(&w->half);
        free(w->watches);
        free(w->found);
        strv_free(w->wanted);
        free(w->root);
        free(w);
        return NULL;
}

int file_watch_fd(const FileWatch *w) {
        return w->fd;
}

static Watch *find_watch(FileWatch *w, int wd) {
        size_t low = 0, high = w->n_watches;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (w->watches[middle].wd == wd)
                        return w->watches + middle;
                if (w->watches[middle].wd < wd)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

static bool is_watched(const FileWatch *w, const char *path) {
        for (size_t i = 0; i < w->n_watches; i++)
                if (streq(w->watches[i].path, path))
                        return true;
        return false;
}

static void drop_watch(FileWatch *w, Watch *watch) {
        size_t i = (size_t) (watch - w->watches);

        free(watch->path);
        memmove(watch, watch + 1, (--w->n_watches - i) * sizeof *watch);
}

static int add_found(FileWatch *w, const char *path, bool directory) {
        WatchEvent *larger;

        if (w->n_found >= FOUND_MAX) {
                w->lost = true;
                return 0;
        }
        larger = reallocarray(w->found, w->n_found + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        w->found = larger;
        w->found[w->n_found] = (WatchEvent) { .type = "created", .path = strdup(path), .directory = directory };
        return w->found[w->n_found++].path ? 0 : -ENOMEM;
}

int file_watch_add(FileWatch *w, int wd, const char *path, bool found) {
        Watch *known = wd >= 0 ? find_watch(w, wd) : NULL, *larger;
        size_t i = w->n_watches;
        int r = 0;

        if (known) /* asked for twice, perhaps by another name meanwhile */
                return free_and_strdup(&known->path, path);
        if (found)
                r = add_found(w, path, wd >= 0);
        if (r < 0 || wd < 0)
                return r;
        larger = reallocarray(w->watches, w->n_watches + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        w->watches = larger;
        for (; i > 0 && w->watches[i - 1].wd > wd; i--)
                w->watches[i] = w->watches[i - 1];
        w->watches[i] = (Watch) { .wd = wd, .path = strdup(path) };
        w->n_watches++;
        return w->watches[i].path ? 0 : -ENOMEM;
}

char *file_watch_take_wanted(FileWatch *w) {
        char *first = w->wanted ? w->wanted[0] : NULL;
        size_t n = strv_length(w->wanted);

        if (first)
                memmove(w->wanted, w->wanted + 1, n * sizeof *w->wanted);
        return first;
}

void file_watch_lost(FileWatch *w) {
        w->lost = true;
}

static void want(FileWatch *w, const char *path) {
        if (!w->recursive)
                return;
        if (strv_length(w->wanted) >= WANTED_MAX || strv_extend(&w->wanted, path) < 0)
                w->lost = true;
}

/* The rest of path behind the directory, or NULL. */
static const char *below(const char *path, const char *directory) {
        const char *rest = startswith(path, directory);

        return rest && (*rest == '/' || !*rest) ? rest : NULL;
}

static int rename_watches(FileWatch *w, const char *from, const char *to) {
        for (size_t i = 0; i < w->n_watches; i++) {
                const char *rest = below(w->watches[i].path, from);
                char *path;

                if (!rest)
                        continue;
                if (asprintf(&path, "%s%s", to, rest) < 0)
                        return -ENOMEM;
                free(w->watches[i].path);
                w->watches[i].path = path;
        }
        return 0;
}

/* What was moved out of sight is watched no more; the kernel says so by an entry of its own, which drops it. */
static void remove_watches(FileWatch *w, const char *path) {
        for (size_t i = 0; i < w->n_watches; i++)
                if (below(w->watches[i].path, path))
                        (void) inotify_rm_watch(w->fd, w->watches[i].wd);
}

static char *entry_path(const Watch *watch, const struct inotify_event *e) {
        _cleanup_free_ char *name = utf8_sanitize(e->name, strnlen(e->name, e->len));
        char *path;

        if (!name || asprintf(&path, "%s/%s", streq(watch->path, "/") ? "" : watch->path, name) < 0)
                return NULL;
        return path;
}

static int give(WatchEvent *ret, const char *type, char *path, bool directory) {
        *ret = (WatchEvent) { .type = type, .path = path, .directory = directory };
        return path ? 1 : -ENOMEM;
}

static int take_half(FileWatch *w, WatchEvent *ret) {
        *ret = w->half;
        w->half = (WatchEvent) {};
        if (ret->directory)
                remove_watches(w, ret->path);
        return 1;
}

static int join_halves(FileWatch *w, char *path, WatchEvent *ret) {
        if (!path)
                return -ENOMEM;
        *ret = (WatchEvent) { .type = "moved", .path = path, .from = TAKE_PTR(w->half.path),
                              .directory = w->half.directory };
        w->half = (WatchEvent) {};
        return ret->directory && rename_watches(w, ret->from, path) < 0 ? -ENOMEM : 1;
}

/* Of the directory itself, which its parent tells of, too, unless it is the one that was asked for. */
static int read_self(FileWatch *w, const Watch *watch, const struct inotify_event *e, WatchEvent *ret) {
        if (!streq(watch->path, w->root))
                return 0;
        if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
                w->gone = true;
                return give(ret, "deleted", strdup(w->root), true);
        }
        return e->mask & IN_ATTRIB ? give(ret, "attributes", strdup(w->root), true) : 0;
}

static int read_named(FileWatch *w, const Watch *watch, const struct inotify_event *e, WatchEvent *ret) {
        _cleanup_free_ char *path = entry_path(watch, e);
        bool directory = e->mask & IN_ISDIR;

        if (!path)
                return -ENOMEM;
        if (e->mask & IN_MOVED_FROM) {
                w->half = (WatchEvent) { .type = "deleted", .path = TAKE_PTR(path), .directory = directory };
                w->cookie = e->cookie;
                return 0;
        }
        if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
                if (directory && is_watched(w, path))
                        return 0; /* found already, when the watch of its parent came */
                if (directory)
                        want(w, path);
                return give(ret, "created", TAKE_PTR(path), directory);
        }
        return give(ret, e->mask & IN_DELETE ? "deleted" : e->mask & IN_MODIFY ? "modified" : "attributes",
                    TAKE_PTR(path), directory);
}

static int read_entry(FileWatch *w, const struct inotify_event *e, WatchEvent *ret) {
        Watch *watch = find_watch(w, e->wd);

        if (e->mask & IN_Q_OVERFLOW) {
                w->lost = true;
                return 0;
        }
        if (!watch)
                return 0;
        if (e->mask & IN_IGNORED) {
                drop_watch(w, watch);
                return 0;
        }
        return e->len > 0 ? read_named(w, watch, e, ret) : read_self(w, watch, e, ret);
}

/* 0: nothing is there. */
static int fill(FileWatch *w) {
        ssize_t n = read(w->fd, w->buffer, sizeof w->buffer);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        w->n = (size_t) n;
        w->at = 0;
        return n > 0;
}

int file_watch_next(FileWatch *w, bool asked, WatchEvent *ret) {
        int r = 0;

        if (w->next_found < w->n_found) {
                *ret = w->found[w->next_found++];
                return 1;
        }
        w->n_found = w->next_found = 0;
        while (r == 0) {
                const struct inotify_event *e;

                if (TAKE_GENERIC(w->lost, bool, false))
                        return give(ret, "overflow", strdup(w->root), true);
                if (w->gone)
                        return -ENODATA;
                if (w->at >= w->n) {
                        r = fill(w);
                        if (r == 0 && w->half.type)
                                return take_half(w, ret);
                        if (r <= 0)
                                return r;
                        r = 0;
                }
                e = (const struct inotify_event *) (w->buffer + w->at);
                if (w->half.type && (!(e->mask & IN_MOVED_TO) || e->cookie != w->cookie))
                        return take_half(w, ret);
                if (asked && !(e->mask & IN_Q_OVERFLOW) && !find_watch(w, e->wd))
                        return 0;
                w->at += sizeof *e + e->len;
                if (w->half.type) {
                        const Watch *watch = find_watch(w, e->wd);

                        return watch ? join_halves(w, entry_path(watch, e), ret) : take_half(w, ret);
                }
                r = read_entry(w, e, ret);
        }
        return r;
}
