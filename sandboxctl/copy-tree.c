/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/copy.h"
#include "sandboxctl/location.h"

/* Directories are walked with a list of what is still to do, not by recursion: a sandbox can nest them deeper than our
 * stack, and a bound on the depth bounds what a tree that leads into itself can cost. */
#define DEPTH_MAX 64U
#define PAGE_ENTRIES 1000

typedef struct Step {
        struct Step *next;
        unsigned depth;
        int fd;                  /* local directory, owned */
        char *remote;
} Step;

static Step *step_free(Step *s) {
        if (!s)
                return NULL;
        safe_close(s->fd);
        free(s->remote);
        free(s);
        return NULL;
}

static void steps_free(Step **list) {
        while (*list) {
                Step *s = *list;

                *list = s->next;
                step_free(s);
        }
}

/* Takes fd over. */
static int step_push(Step **list, int fd, const char *remote, unsigned depth) {
        Step *s = new0(Step, 1);

        if (s)
                *s = (Step) { .next = *list, .depth = depth, .fd = fd, .remote = strdup(remote) };
        if (!s || !s->remote) {
                free(s);
                safe_close(fd);
                return -ENOMEM;
        }
        *list = s;
        return 0;
}

static Step *step_pop(Step **list) {
        Step *s = *list;

        if (s)
                *list = s->next;
        return s;
}

DEFINE_CLEANUP(Step *, step_free)

static int make_remote_directory(Copy *c, const char *remote) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/files/mkdir", c->sandbox);

        return ctl_request(c->ctl, remote, "POST", path, json_pack("{s:[s], s:b}", "paths", remote, "anywhere", 1),
                           NULL);
}

/* Not following links and not waiting for a pipe's writer: whoever made the tree may have laid traps. */
static int upload_entry(Copy *c, const Step *s, const char *name, Step **todo) {
        _cleanup_close_ int fd = openat(s->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        _cleanup_free_ char *remote = path_join(s->remote, name);
        struct stat st;

        if (!remote)
                return ctl_oom(c->ctl);
        if (fd < 0 && errno != ELOOP && errno != ENXIO)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: %m", name);
        if (fd < 0 || fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
                ctl_warn(c->ctl, "%s: neither a file nor a directory, left out", name);
                return EXIT_STATUS_OK;
        }
        if (S_ISREG(st.st_mode))
                return copy_upload_fd(c, fd, remote);
        if (s->depth >= DEPTH_MAX)
                return ctl_fail(c->ctl, EXIT_STATUS_LIMIT, "%s: too many directories in each other", name);
        return step_push(todo, TAKE_FD(fd), remote, s->depth + 1) < 0 ? ctl_oom(c->ctl) : EXIT_STATUS_OK;
}

static int upload_directory(Copy *c, const Step *s, Step **todo) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *entry;
        int r;

        r = directory_open_at(s->fd, ".", &d);
        if (r < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: %s", s->remote, strerror(-r));

        r = make_remote_directory(c, s->remote);
        while (r == EXIT_STATUS_OK && (entry = readdir(d)))
                if (path_name_is_safe(entry->d_name))
                        r = upload_entry(c, s, entry->d_name, todo);
        return r;
}

int copy_upload_tree(Copy *c, int directory_fd, const char *remote) {
        _cleanup_(steps_free) Step *todo = NULL;
        int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3), r = EXIT_STATUS_OK;

        if (fd < 0 || step_push(&todo, fd, remote, 0) < 0)
                return ctl_oom(c->ctl);
        while (r == EXIT_STATUS_OK && todo) {
                _cleanup_(step_freep) Step *s = step_pop(&todo);

                r = upload_directory(c, s, &todo);
        }
        return r;
}

/* One that is there already is fine, so that a copy can be repeated; a link in its place is not. */
static int open_made_directory(int parent_fd, const char *name) {
        int fd;

        if (mkdirat(parent_fd, name, 0777) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The list does not tell links from what they lead to, so each entry is asked for by itself. */
static int download_entry(Copy *c, const Step *s, const json_t *entry, Step **todo) {
        const char *name = json_text(entry, "name");
        _cleanup_free_ char *remote = path_join(s->remote, name);
        RemoteFile file;
        int r, fd;

        if (!path_name_is_safe(name))
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "'%s': the sandbox has a file that cannot be named here",
                                name);
        if (!remote)
                return ctl_oom(c->ctl);
        r = copy_stat(c, remote, &file);
        if (r != EXIT_STATUS_OK)
                return r;
        if (!file.exists || file.is_link) {
                ctl_warn(c->ctl, "%s: %s, left out", remote, file.exists ? "a link" : "gone");
                return EXIT_STATUS_OK;
        }
        if (!file.is_directory)
                return copy_download_at(c, remote, s->fd, name);
        if (s->depth >= DEPTH_MAX)
                return ctl_fail(c->ctl, EXIT_STATUS_LIMIT, "%s: too many directories in each other", remote);
        fd = open_made_directory(s->fd, name);
        if (fd < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: failed to make the directory: %s", remote,
                                strerror(-fd));
        return step_push(todo, fd, remote, s->depth + 1) < 0 ? ctl_oom(c->ctl) : EXIT_STATUS_OK;
}

/* One page of a directory from *cursor on, which moves on; *ret_more: there may be another one. */
static int download_page(Copy *c, const Step *s, size_t *cursor, bool *ret_more, Step **todo) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/files/list", c->sandbox);
        _cleanup_json_ json_t *entries = NULL;
        json_t *entry;
        size_t i;
        int r;

        r = ctl_request(c->ctl, s->remote, "POST", path,
                        json_pack("{s:s, s:I, s:i, s:b}", "path", s->remote, "cursor", (json_int_t) *cursor, "limit",
                                  PAGE_ENTRIES, "anywhere", 1), &entries);
        if (r != EXIT_STATUS_OK)
                return r;
        *ret_more = json_array_size(entries) == PAGE_ENTRIES;
        *cursor += json_array_size(entries);
        json_array_foreach(entries, i, entry) {
                r = download_entry(c, s, entry, todo);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        return EXIT_STATUS_OK;
}

static int download_directory(Copy *c, const Step *s, Step **todo) {
        size_t cursor = 0;
        bool more = true;
        int r = EXIT_STATUS_OK;

        while (r == EXIT_STATUS_OK && more)
                r = download_page(c, s, &cursor, &more, todo);
        return r;
}

int copy_download_tree(Copy *c, const char *remote, const char *local) {
        _cleanup_(steps_free) Step *todo = NULL;
        int fd, r = EXIT_STATUS_OK;

        fd = open_made_directory(AT_FDCWD, local);
        if (fd < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: failed to make the directory: %s", local,
                                strerror(-fd));
        if (step_push(&todo, fd, remote, 0) < 0)
                return ctl_oom(c->ctl);
        while (r == EXIT_STATUS_OK && todo) {
                _cleanup_(step_freep) Step *s = step_pop(&todo);

                r = download_directory(c, s, &todo);
        }
        return r;
}
