/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/file-ops.h"

/* Owners get names by the sandbox's own passwd and group, read as text: the C library's lookups would load modules that
 * these files name, and be run by whoever wrote them. */

#define ACCOUNTS_MAX (256 * KiB)

void file_info_done(FileInfo *info) {
        info->link = mfree(info->link);
        info->owner = mfree(info->owner);
        info->group = mfree(info->group);
}

static int read_accounts(const FileRoot *root, const char *path, char **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;

        fd = file_open_regular(root, path, &st);
        if (fd < 0)
                return fd;
        text = malloc(ACCOUNTS_MAX + 1);
        if (!text)
                return -ENOMEM;
        n = file_read_at(fd, text, ACCOUNTS_MAX, 0);
        if (n < 0)
                return (int) n;
        text[n] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

/* The first field of the line whose third is id. getpwuid() would load modules, out of the sandbox's files. */
static char *find_account(char *text, uint32_t id) {
        for (char *line = text, *next; line; line = next) {
                char *name, *number;
                uint32_t value;

                next = strchr(line, '\n');
                if (next)
                        *next++ = 0;
                name = strsep(&line, ":");
                (void) strsep(&line, ":");
                number = strsep(&line, ":");
                if (number && !isempty(name) && parse_u32(number, &value) >= 0 && value == id)
                        return utf8_sanitize(name, strlen(name));
        }
        return NULL;
}

static int account_name(const FileRoot *root, const char *path, uint32_t id, char **ret) {
        _cleanup_free_ char *text = NULL;
        char *name = NULL;

        if (read_accounts(root, path, &text) >= 0)
                name = find_account(text, id);
        if (!name && asprintf(&name, "%u", id) < 0)
                return -ENOMEM;
        *ret = name;
        return 0;
}

static int read_link(int fd, char **ret) {
        char target[FILE_PATH_MAX + 1];
        ssize_t n;

        n = readlinkat(fd, "", target, sizeof target);
        if (n < 0)
                return -errno;
        *ret = utf8_sanitize(target, (size_t) n);
        return *ret ? 0 : -ENOMEM;
}

static int fill_info(const FileRoot *root, int fd, FileInfo *info) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                r = read_link(fd, &info->link);
        else {
                info->link = strdup("");
                r = info->link ? 0 : -ENOMEM;
        }
        if (r >= 0)
                r = account_name(root, "/etc/passwd", st.st_uid, &info->owner);
        if (r >= 0)
                r = account_name(root, "/etc/group", st.st_gid, &info->group);

        info->size = (uint64_t) st.st_size;
        info->mtime_msec = stat_mtime_msec(&st);
        info->mode = st.st_mode;
        return r;
}

int file_stat(const FileRoot *root, const char *path, FileInfo *ret) {
        _cleanup_(file_info_done) FileInfo info = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = file_open(root, path, O_PATH | O_NOFOLLOW);
        if (fd < 0)
                return fd;
        r = fill_info(root, fd, &info);
        if (r < 0)
                return r;
        *ret = info;
        info = (FileInfo) {};
        return 0;
}
