/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"
#include "sandbox-fsd/glob.h"

/* Lists are made page by page and walks have bounds in depth, entries and time: whoever owns the sandbox can make trees
 * that have no end, and this worker shares his limits but not his patience. */

/* NULL with errno 0 at the end. */
static const struct dirent *next_entry(DIR *dir) {
        const struct dirent *entry;

        do {
                errno = 0;
                entry = readdir(dir);
        } while (entry && (streq(entry->d_name, ".") || streq(entry->d_name, "..")));
        return entry;
}

static bool link_leads_to_directory(const FileRoot *root, const char *path) {
        _cleanup_close_ int fd = file_open(root, path, O_PATH | O_DIRECTORY);

        return fd >= 0;
}

static int list_entry(const FileRoot *root, const FileList *list, DIR *dir, const char *name, FileEntryHandler handler,
                      void *userdata) {
        _cleanup_free_ char *path = NULL, *clean_name = NULL, *clean_path = NULL;
        FileEntry entry = {};
        struct stat st;

        if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        path = file_path_join(list->path, name);
        clean_name = utf8_sanitize(name, strlen(name));
        clean_path = path ? utf8_sanitize(path, strlen(path)) : NULL;
        if (!path || !clean_name || !clean_path)
                return -ENOMEM;

        entry = (FileEntry) {
                .name = clean_name,
                .path = clean_path,
                .size = S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0,
                .mtime_msec = stat_mtime_msec(&st),
                .mode = st.st_mode,
                .directory = S_ISDIR(st.st_mode) || (S_ISLNK(st.st_mode) && link_leads_to_directory(root, path)),
        };
        return handler(&entry, userdata);
}

int file_list(const FileRoot *root, const FileList *list, FileEntryHandler handler, void *userdata, bool *ret_more) {
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        uint64_t seen = 0;
        int r;

        r = directory_from_fd(file_open(root, list->path, O_RDONLY | O_DIRECTORY), &dir);
        if (r < 0)
                return r;

        while ((entry = next_entry(dir))) {
                if (seen++ < list->skip)
                        continue;
                *ret_more = seen - list->skip > list->max || now_usec(CLOCK_BOOTTIME) > list->until_usec;
                if (*ret_more)
                        return 0;
                r = list_entry(root, list, dir, entry->d_name, handler, userdata);
                if (r < 0)
                        return r;
                *ret_more = r > 0;
                if (*ret_more)
                        return 0;
        }
        *ret_more = false;
        return -errno;
}

typedef struct Search {
        const FileRoot *root;
        const FileSearch *options;
        FilePathHandler handler;
        void *userdata;
        uint32_t hits, visited;
        bool more;
} Search;

static int search_directory(Search *s, int directory_fd, const char *path, unsigned depth);

static bool search_is_over(Search *s) {
        if (s->hits >= s->options->max || s->visited >= FILE_SEARCH_VISITED_MAX ||
            now_usec(CLOCK_BOOTTIME) > s->options->until_usec)
                s->more = true;
        return s->more;
}

static unsigned char entry_type(DIR *dir, const struct dirent *entry) {
        struct stat st;

        if (entry->d_type != DT_UNKNOWN)
                return entry->d_type;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return DT_UNKNOWN;
        return IFTODT(st.st_mode);
}

/* Mounts are entered, as find does, but for those that the file API does not show. */
static int search_child(Search *s, DIR *dir, const char *name, const char *path, unsigned depth) {
        _cleanup_close_ int fd = -EBADF;

        if (depth >= FILE_DEPTH_MAX) {
                s->more = true;
                return 0;
        }
        fd = openat(dirfd(dir), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || file_root_check(s->root, fd) < 0)
                return 0; /* gone, not readable or not for us: find goes on as well */
        return search_directory(s, TAKE_FD(fd), path, depth);
}

static int search_entry(Search *s, DIR *dir, const struct dirent *entry, const char *directory, unsigned depth) {
        _cleanup_free_ char *path = NULL, *clean = NULL;
        unsigned char type = entry_type(dir, entry);
        bool hit = type == DT_REG && glob_match(s->options->pattern, entry->d_name);
        int r;

        if (!hit && type != DT_DIR)
                return 0;
        path = file_path_join(directory, entry->d_name);
        if (!path)
                return -ENOMEM;
        if (type == DT_DIR)
                return search_child(s, dir, entry->d_name, path, depth + 1);

        clean = utf8_sanitize(path, strlen(path));
        if (!clean)
                return -ENOMEM;
        s->hits++;
        r = s->handler(clean, s->userdata);
        s->more = s->more || r > 0;
        return r;
}

static int search_directory(Search *s, int directory_fd, const char *path, unsigned depth) {
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        int r;

        r = directory_from_fd(directory_fd, &dir);
        if (r < 0)
                return r;

        while ((entry = next_entry(dir))) {
                if (search_is_over(s))
                        return 0;
                s->visited++;
                r = search_entry(s, dir, entry, path, depth);
                if (r < 0)
                        return r;
        }
        return 0;
}

int file_search(const FileRoot *root, const FileSearch *search, FilePathHandler handler, void *userdata,
                bool *ret_more) {
        Search s = { .root = root, .options = search, .handler = handler, .userdata = userdata };
        int fd, r;

        if (!glob_is_valid(search->pattern))
                return -EINVAL;
        fd = file_open(root, search->directory, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;
        r = search_directory(&s, fd, search->directory, 0);
        if (r < 0)
                return r;
        *ret_more = s.more;
        return 0;
}
