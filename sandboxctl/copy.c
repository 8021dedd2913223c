/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/location.h"

/* The raw routes take any absolute path, the JSON ones are asked with anywhere=1 for the same. A server that does not know
 * that keeps to the workspace with these: a single file is copied by raw routes alone, so that it may lie anywhere. */
static char *raw_path(const Copy *c, const char *remote, mode_t mode) {
        _cleanup_free_ char *encoded = client_encode(remote);
        char permissions[16] = "";

        if (mode > 0)
                (void) snprintf(permissions, sizeof permissions, "&mode=%04o", mode & 07777U);
        return encoded ? ctl_path("/sandboxes/%s/files/raw?path=%s%s", c->sandbox, encoded, permissions) : NULL;
}

int copy_stat(Copy *c, const char *remote, RemoteFile *ret) {
        _cleanup_(transfer_freep) Transfer *t = NULL;
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/files/info", c->sandbox);
        _cleanup_json_ json_t *body = json_pack("{s:s, s:b}", "path", remote, "anywhere", 1), *info = NULL;
        TransferResult result = {};
        int r;

        *ret = (RemoteFile) {};
        if (!path || !body)
                return ctl_fail(c->ctl, EXIT_STATUS_USAGE, "%s: not valid UTF-8", remote);
        r = ctl_connect(c->ctl);
        if (r != EXIT_STATUS_OK)
                return r;
        r = transfer_new(c->ctl->client, &(TransferSpec) { .method = "POST", .path = path, .body = body }, &t);
        if (r >= 0)
                r = transfer_finish(t, &result);
        if (r < 0 || result.status >= 500)
                return ctl_fail_transfer(c->ctl, remote, r, &result);
        if (result.status < 200 || result.status > 299)
                return EXIT_STATUS_OK;

        info = json_loadb(result.text, result.size, 0, NULL);
        ret->exists = true;
        ret->is_directory = json_is_true(json_object_get(info, "isDirectory"));
        ret->is_link = json_is_true(json_object_get(info, "isSymlink"));
        return EXIT_STATUS_OK;
}

typedef struct Flow {
        Copy *copy;
        int fd;
} Flow;

static ssize_t on_source(char *buffer, size_t n, void *userdata) {
        Flow *f = userdata;
        ssize_t k;

        /* Blocking is fine: nothing else is to be done meanwhile. */
        do
                k = read(f->fd, buffer, n);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        progress_add(&f->copy->progress, (uint64_t) k);
        return k;
}

static int finish(Copy *c, Transfer *t, const char *what) {
        TransferResult result = {};
        int r;

        r = transfer_finish(t, &result);
        progress_end(&c->progress);
        if (r < 0 || result.status < 200 || result.status > 299)
                return ctl_fail_transfer(c->ctl, what, r, &result);
        if (c->ctl->json && result.size > 0)
                (void) printf("%s\n", result.text);
        return EXIT_STATUS_OK;
}

/* A regular file is announced with its size and keeps its permissions; of a pipe we know neither. The size counts: the
 * server takes exactly so much or nothing. */
int copy_upload_fd(Copy *c, int fd, const char *remote) {
        _cleanup_(transfer_freep) Transfer *t = NULL;
        _cleanup_free_ char *path = NULL;
        Flow flow = { .copy = c, .fd = fd };
        struct stat st = {};
        uint64_t size;
        bool whole;
        int r;

        if (fstat(fd, &st) < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: %m", remote);
        size = S_ISREG(st.st_mode) ? (uint64_t) st.st_size : UINT64_MAX;
        if (size != UINT64_MAX && size >= COPY_PARTS_MIN && lseek(fd, 0, SEEK_CUR) == 0) {
                r = ctl_connect(c->ctl);
                if (r == EXIT_STATUS_OK)
                        r = copy_upload_parts(c, fd, remote, size, st.st_mode & 0777U, &whole);
                if (r != EXIT_STATUS_USAGE || !whole)
                        return r;
        }
        path = raw_path(c, remote, S_ISREG(st.st_mode) ? st.st_mode & 0777U : 0);
        if (!path)
                return ctl_oom(c->ctl);
        r = ctl_connect(c->ctl);
        if (r != EXIT_STATUS_OK)
                return r;
        r = transfer_new(c->ctl->client, &(TransferSpec) { .method = "PUT", .path = path, .source = on_source,
                                                           .source_size = size, .userdata = &flow }, &t);
        if (r < 0)
                return ctl_oom(c->ctl);
        progress_begin(&c->progress, remote, size);
        return finish(c, t, remote);
}

int copy_upload(Copy *c, const char *local, const char *remote) {
        _cleanup_close_ int fd = open(local, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return ctl_fail(c->ctl, errno == ENOENT ? EXIT_STATUS_NOT_FOUND : EXIT_STATUS_FAILURE, "%s: %m", local);
        if (!S_ISDIR(st.st_mode))
                return copy_upload_fd(c, fd, remote);
        if (!c->recursive)
                return ctl_fail(c->ctl, EXIT_STATUS_USAGE, "%s: is a directory, copy it with -r", local);
        return copy_upload_tree(c, fd, remote);
}

/* The permissions that the file had there, as far as our umask lets them through. */
static void apply_mode(const char *text, int fd) {
        mode_t mask;

        if (!text)
                return;
        mask = umask(0);
        (void) umask(mask);
        (void) fchmod(fd, (mode_t) strtoul(text, NULL, 8) & 0777U & ~mask);
}

static int download_fd(Copy *c, const char *remote, int fd, bool with_mode) {
        _cleanup_free_ char *path = raw_path(c, remote, 0), *mode = NULL;
        int r;

        if (!path)
                return ctl_oom(c->ctl);
        r = ctl_connect(c->ctl);
        if (r == EXIT_STATUS_OK)
                r = copy_download_parts(c, remote, path, fd, &mode);
        if (r == EXIT_STATUS_OK && with_mode)
                apply_mode(mode, fd);
        return r;
}

int copy_download_fd(Copy *c, const char *remote, int fd) {
        return download_fd(c, remote, fd, /* with_mode= */ false);
}

/* A new file under another name that takes the name when it is whole: an old one stays if the copy breaks. */
int copy_download_at(Copy *c, const char *remote, int directory_fd, const char *name) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (asprintf(&temporary, ".%.200s.%d.part", name, getpid()) < 0)
                return ctl_oom(c->ctl);
        fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: failed to make a file beside it: %m", name);
        r = download_fd(c, remote, fd, /* with_mode= */ true);
        if (r == EXIT_STATUS_OK && renameat(directory_fd, temporary, directory_fd, name) < 0)
                r = ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: %m", name);
        if (r != EXIT_STATUS_OK)
                (void) unlinkat(directory_fd, temporary, 0);
        return r;
}

/* A device, pipe or link that was named as the target is written through, as cp does. */
static int download_through(Copy *c, const char *remote, const char *local) {
        _cleanup_close_ int fd = open(local, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: %m", local);
        return copy_download_fd(c, remote, fd);
}

int copy_download(Copy *c, const char *remote, const char *local) {
        _cleanup_free_ char *name = path_name(local), *parent = NULL;
        _cleanup_close_ int fd = -EBADF;
        RemoteFile file = {};
        struct stat st;
        int r;

        if (c->recursive) {
                r = copy_stat(c, remote, &file);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        if (file.is_directory)
                return copy_download_tree(c, remote, local);
        if (lstat(local, &st) >= 0 && !S_ISREG(st.st_mode))
                return download_through(c, remote, local);

        parent = name ? strndup(local, strlen(local) - strlen(name)) : NULL;
        if (!parent)
                return ctl_fail(c->ctl, EXIT_STATUS_USAGE, "%s: not the name of a file", local);
        fd = open(*parent ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: %m", parent);
        return copy_download_at(c, remote, fd, name);
}
