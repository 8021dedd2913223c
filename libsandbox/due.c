/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/due.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"

/* Deadlines as files, one a sandbox, because they must outlive each of our daemons and be readable by a program that
 * links nothing of them (sandbox-due). Files are replaced whole, so a reader sees the old deadline or the new one. What
 * is read is checked as if a stranger had written it: the path in it is written to by root. */

#define WAKE_FILE "wake"

int due_write(int dir_fd, const DueEntry *entry) {
        char text[DUE_FILE_MAX];
        int n;

        assert(sandbox_id_is_valid(entry->id));

        if (entry->deadline_usec == USEC_INFINITY)
                return due_remove(dir_fd, entry->id);
        n = snprintf(text, sizeof text, "%" PRIu64 " %s\n", entry->deadline_usec, entry->cgroup);
        if ((size_t) n >= sizeof text)
                return -ENAMETOOLONG;
        return write_file_atomic_at(dir_fd, entry->id, text, 0600);
}

int due_remove(int dir_fd, const char *id) {
        assert(sandbox_id_is_valid(id));

        return unlinkat(dir_fd, id, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int due_wake_write(int dir_fd, uint64_t usec) {
        char text[32];

        if (usec == USEC_INFINITY)
                return unlinkat(dir_fd, WAKE_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
        (void) snprintf(text, sizeof text, "%" PRIu64 "\n", usec);
        return write_file_atomic_at(dir_fd, WAKE_FILE, text, 0600);
}

int due_wake_read(int dir_fd, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_text_at(dir_fd, WAKE_FILE, DUE_FILE_MAX, &text);
        if (r == -ENOENT) {
                *ret = USEC_INFINITY;
                return 0;
        }
        return r < 0 ? r : parse_u64(text, ret) < 0 ? -EBADMSG : 0;
}

int due_read(int dir_fd, const char *id, DueEntry *ret) {
        _cleanup_free_ char *text = NULL;
        DueEntry entry = {};
        char *space;
        int r;

        if (!sandbox_id_is_valid(id))
                return -EINVAL;

        r = read_text_at(dir_fd, id, DUE_FILE_MAX, &text);
        if (r < 0)
                return r;

        space = strchr(text, ' ');
        if (!space)
                return -EBADMSG;
        *space++ = 0;
        if (parse_u64(text, &entry.deadline_usec) < 0 || strlen(space) >= sizeof entry.cgroup || space[0] != '/' ||
            strstr(space, "/../") || endswith(space, "/.."))
                return -EBADMSG;
        strcpy(entry.cgroup, space);
        strcpy(entry.id, id);
        *ret = entry;
        return 0;
}

int due_foreach(int dir_fd, int (*handler)(const DueEntry *entry, void *userdata), void *userdata, unsigned *ret_bad) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *file;
        unsigned bad = 0;
        int r;

        r = directory_open_at(dir_fd, ".", &d);
        if (r < 0)
                return r;

        while (r >= 0 && (file = readdir(d))) {
                DueEntry entry;
                int k;

                if (file->d_name[0] == '.' || streq(file->d_name, WAKE_FILE))
                        continue;
                k = due_read(dir_fd, file->d_name, &entry);
                if (k == -ENOENT)
                        continue;
                if (k < 0)
                        bad++;
                else
                        r = handler(&entry, userdata);
        }
        if (ret_bad)
                *ret_bad = bad;
        return r < 0 ? r : 0;
}
