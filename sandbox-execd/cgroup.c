/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* A cgroup may go away at any time, by systemd's hand: ENOENT and ENODEV (an open file of a directory that was removed)
 * mean that it is gone, not that something failed. */

#define CGROUP_TEXT_MAX (256 * KiB)

int cgroup_scope_path(unsigned slice, const char *scope, char *ret, size_t size) {
        int n = snprintf(ret, size, "/sandbox.slice/sandbox-%u.slice/%s", slice, scope);

        return (size_t) n >= size ? -ENAMETOOLONG : 0;
}

int cgroup_open(int root_fd, const char *path) {
        int fd;

        fd = openat(root_fd, path + strspn(path, "/"), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int cgroup_make(int dir_fd, const char *name) {
        return mkdirat(dir_fd, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int remove_children(int dir_fd, const char *name) {
        struct dirent *entry;
        int fd, r = 0;
        DIR *d;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (entry = readdir(d)))
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        r = cgroup_remove_tree(dirfd(d), entry->d_name);
        closedir(d);
        return r;
}

int cgroup_remove_tree(int dir_fd, const char *name) {
        int r;

        if (unlinkat(dir_fd, name, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY)
                return -errno;

        /* Either a process or a child cgroup holds it. */
        r = remove_children(dir_fd, name);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_parse_controllers(const char *text, char **ret) {
        _cleanup_free_ char *copy = NULL, *out = NULL;
        char *state = NULL, *p;

        copy = strdup(text);
        out = malloc(strlen(text) * 2 + 2);
        if (!copy || !out)
                return -ENOMEM;

        p = out;
        for (char *word = strtok_r(copy, " \n", &state); word; word = strtok_r(NULL, " \n", &state)) {
                if (p != out)
                        *p++ = ' ';
                *p++ = '+';
                p = stpcpy(p, word);
        }
        *p = 0;
        if (p == out)
                return -ENODATA;
        *ret = TAKE_PTR(out);
        return 0;
}

int cgroup_enable_controllers(int dir_fd) {
        _cleanup_free_ char *offered = NULL, *wanted = NULL;
        int r;

        r = read_text_at(dir_fd, "cgroup.controllers", 4 * KiB, &offered);
        if (r < 0)
                return r;
        r = cgroup_parse_controllers(offered, &wanted);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        return write_text_at(dir_fd, "cgroup.subtree_control", wanted);
}

int cgroup_give(int dir_fd, const char *file, uid_t uid) {
        return fchownat(dir_fd, file, uid, uid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* We have no right to override modes, so the group is left to us. */
int cgroup_share(int dir_fd, const char *file, uid_t uid) {
        if (fchmodat(dir_fd, file, 0220, 0) < 0 || fchownat(dir_fd, file, uid, 0, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

int cgroup_kill(int dir_fd) {
        int r = write_text_at(dir_fd, "cgroup.kill", "1");

        return r == -ENODEV || r == -ENOENT ? 0 : r;
}

int cgroup_is_populated(int dir_fd) {
        uint64_t populated;
        int r;

        r = cgroup_read_key(dir_fd, "cgroup.events", "populated", &populated);
        if (r == -ENOENT || r == -ENODEV)
                return 0;
        return r < 0 ? r : populated != 0;
}

int cgroup_watch(sd_event *event, int dir_fd, sd_event_io_handler_t handler, void *userdata, sd_event_source **ret) {
        _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* kernfs reports a change with EPOLLPRI, in addition to the always-set EPOLLIN. */
        r = sd_event_add_io(event, &source, fd, EPOLLPRI, handler, userdata);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(source, true);
        if (r < 0)
                return r;
        TAKE_FD(fd);
        *ret = TAKE_PTR(source);
        return 0;
}

int cgroup_watch_populated(sd_event_source *source) {
        uint64_t populated;
        char text[256];
        ssize_t n;

        n = pread(sd_event_source_get_io_fd(source), text, sizeof text - 1, 0);
        if (n < 0)
                return errno == ENODEV ? 0 : -errno;
        text[n] = 0;
        return cgroup_parse_key(text, "populated", &populated) < 0 ? -EBADMSG : populated != 0;
}

int cgroup_parse_u64(const char *text, uint64_t *ret) {
        if (streq(text, "max")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return parse_u64(text, ret);
}

int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_text_at(dir_fd, file, 64, &text);
        return r < 0 ? r : cgroup_parse_u64(text, ret);
}

int cgroup_parse_key(const char *text, const char *key, uint64_t *ret) {
        for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
                const char *value = startswith(p, key);
                char digits[24];
                size_t n;

                if (!value || *value != ' ')
                        continue;
                value++;
                n = strcspn(value, "\n");
                if (n >= sizeof digits)
                        return -EBADMSG;
                memcpy(digits, value, n);
                digits[n] = 0;
                return parse_u64(digits, ret) < 0 ? -EBADMSG : 0;
        }
        return -ENODATA;
}

int cgroup_read_key(int dir_fd, const char *file, const char *key, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_text_at(dir_fd, file, CGROUP_TEXT_MAX, &text);
        return r < 0 ? r : cgroup_parse_key(text, key, ret);
}

int cgroup_parse_io_stat(const char *text, uint64_t *ret_read, uint64_t *ret_write) {
        _cleanup_free_ char *copy = NULL;
        uint64_t sums[2] = {};
        char *state = NULL;

        copy = strdup(text);
        if (!copy)
                return -ENOMEM;

        for (char *word = strtok_r(copy, " \n", &state); word; word = strtok_r(NULL, " \n", &state)) {
                const char *number = startswith(word, "rbytes=");
                bool write = !number && (number = startswith(word, "wbytes="));
                uint64_t value;

                if (!number)
                        continue;
                if (parse_u64(number, &value) < 0)
                        return -EBADMSG;
                sums[write] += value;
        }
        *ret_read = sums[0];
        *ret_write = sums[1];
        return 0;
}

int cgroup_read_pids(int dir_fd, const char *file, pid_t **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0, lines = 1;
        char *state = NULL;
        int r;

        r = read_text_at(dir_fd, file, CGROUP_TEXT_MAX, &text);
        if (r < 0)
                return r;
        for (const char *p = text; *p; p++)
                lines += *p == '\n';
        pids = new0(pid_t, lines);
        if (!pids)
                return -ENOMEM;

        for (char *word = strtok_r(text, "\n", &state); word; word = strtok_r(NULL, "\n", &state)) {
                uint32_t pid;

                /* 0 stands for a process of another pid namespace than the reader's. */
                if (parse_u32(word, &pid) >= 0 && pid > 0 && pid <= INT32_MAX)
                        pids[n++] = (pid_t) pid;
        }
        *ret = TAKE_PTR(pids);
        *ret_n = n;
        return 0;
}
