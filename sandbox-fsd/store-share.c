/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/store.h"

/* The root of a sandbox becomes a snapshot by another name: what it has open stays open, and only what is written from
 * then on goes elsewhere. That the place for it is there says that a share was begun; sandbox-execd alone knows whether
 * the sandbox writes there already. So one that was interrupted is neither finished nor taken back by itself: the next
 * share of the sandbox goes on with it, and whatever ends the sandbox, or restores it, ends this, too. */

typedef struct Name {
        char text[sizeof(STORE_NEXT_PREFIX) + SANDBOX_ID_LENGTH + 1 + SNAPSHOT_ID_MAX];
} Name;

static Name next_name(const char *sandbox, const char *snapshot) {
        Name name;

        (void) snprintf(name.text, sizeof name.text, STORE_NEXT_PREFIX "%s-%s", sandbox, snapshot);
        return name;
}

static int find_begun(const Store *s, const char *sandbox, char **ret_snapshot) {
        _cleanup_strv_free_ char **names = NULL;
        Name prefix = next_name(sandbox, "");
        int r;

        r = store_list_leftovers(s->roots_fd, prefix.text, &names);
        if (r < 0)
                return r;
        if (!names)
                return -ENOENT;
        *ret_snapshot = strdup(names[0] + strlen(prefix.text));
        return *ret_snapshot ? 0 : -ENOMEM;
}

int store_begin_share(const Store *s, const char *sandbox, const char *snapshot, char **ret_snapshot) {
        _cleanup_free_ char *name = strdup(snapshot);
        int r;

        assert(sandbox_id_is_valid(sandbox));
        assert(snapshot_id_is_valid(snapshot));

        if (!name)
                return -ENOMEM;
        r = find_begun(s, sandbox, ret_snapshot);
        if (r != -ENOENT)
                return r;
        if (faccessat(s->roots_fd, sandbox, F_OK, 0) < 0)
                return -errno;
        r = store_make_root(s, next_name(sandbox, snapshot).text);
        if (r < 0)
                return r;
        *ret_snapshot = TAKE_PTR(name);
        return 0;
}

int store_get_base(const Store *s, const char *sandbox, char **ret_snapshot) {
        _cleanup_free_ char *begun = NULL;
        int r;

        r = find_begun(s, sandbox, &begun);
        if (r >= 0)
                return -ENOENT;
        return r == -ENOENT ? store_get_used_snapshot(s, sandbox, ret_snapshot) : r;
}

static int open_path(int directory_fd, const char *name) {
        int fd = openat(directory_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

int store_open_share(const Store *s, const char *sandbox, const char *snapshot, int *ret_written_fd, int *ret_next_fd) {
        _cleanup_close_ int written_fd = -EBADF;
        int next_fd;

        written_fd = open_path(s->roots_fd, sandbox);
        if (written_fd == -ENOENT)
                written_fd = store_open_snapshot(s, snapshot);
        if (written_fd < 0)
                return written_fd;
        next_fd = open_path(s->roots_fd, next_name(sandbox, snapshot).text);
        if (next_fd < 0)
                return next_fd;
        *ret_written_fd = TAKE_FD(written_fd);
        *ret_next_fd = next_fd;
        return 0;
}

/* Moving a directory to another one changes its "..", which is its owner's right. So it is ours for a moment; nobody
 * looks it up by name in that time, and what is below it stays the sandbox's. */
static int move_root(const Store *s, const char *sandbox, const char *snapshot) {
        int r = 0;

        if (fchownat(s->roots_fd, sandbox, geteuid(), getegid(), AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (renameat2(s->roots_fd, sandbox, s->snapshots_fd, snapshot, RENAME_NOREPLACE) < 0)
                r = -errno;
        if (fchownat(r < 0 ? s->roots_fd : s->snapshots_fd, r < 0 ? sandbox : snapshot, FOREIGN_BASE, FOREIGN_BASE,
                     AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return r;
}

/* Its base is noted before that the sandbox stands on it: from then on it would be its own base. */
static int name_written(const Store *s, const char *sandbox, const char *snapshot) {
        _cleanup_free_ char *latest = NULL;
        int r;

        r = store_get_used_snapshot(s, sandbox, &latest);
        if (r < 0 && r != -ENOENT)
                return r;
        if (!latest || !streq(latest, snapshot)) {
                r = store_note_base(s, snapshot, sandbox);
                if (r >= 0)
                        r = store_use_snapshot(s, sandbox, snapshot);
                if (r < 0)
                        return r;
        }
        return move_root(s, sandbox, snapshot);
}

int store_end_share(const Store *s, const char *sandbox, const char *snapshot) {
        Name next = next_name(sandbox, snapshot);
        int r;

        assert(sandbox_id_is_valid(sandbox));
        assert(snapshot_id_is_valid(snapshot));

        if (faccessat(s->roots_fd, next.text, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (faccessat(s->roots_fd, sandbox, F_OK, AT_SYMLINK_NOFOLLOW) >= 0) {
                r = name_written(s, sandbox, snapshot);
                if (r < 0)
                        return r;
        }
        if (renameat2(s->roots_fd, next.text, s->roots_fd, sandbox, RENAME_NOREPLACE) < 0)
                return -errno;
        /* Its root was put together anew: what the latest one does not stand on is not in it any more. */
        return store_forget_earlier(s, sandbox);
}

int store_set_share_aside(const Store *s, const char *sandbox) {
        _cleanup_free_ char *snapshot = NULL, *prefix = NULL, *name = NULL;
        int r;

        r = find_begun(s, sandbox, &snapshot);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (asprintf(&prefix, STORE_OLD_PREFIX "%s-", sandbox) < 0)
                return -ENOMEM;
        r = store_random_name(prefix, &name);
        if (r < 0)
                return r;
        return renameat(s->roots_fd, next_name(sandbox, snapshot).text, s->roots_fd, name) < 0 ? -errno : 0;
}

static void mend(int directory_fd, char *const *names) {
        struct stat st;

        STRV_FOREACH(name, names)
                if (fstatat(directory_fd, *name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISDIR(st.st_mode) &&
                    st.st_uid == geteuid() &&
                    fchownat(directory_fd, *name, FOREIGN_BASE, FOREIGN_BASE, AT_SYMLINK_NOFOLLOW) < 0)
                        log_warning_errno(-errno, "Failed to give '%s' back to its owner, ignoring: %m", *name);
}

void store_mend_shares(const Store *s) {
        _cleanup_strv_free_ char **roots = NULL, **snapshots = NULL, **unwanted = NULL;

        if (store_list_roots(s, &roots) >= 0)
                mend(s->roots_fd, roots);
        if (store_list_snapshots(s, &snapshots) >= 0)
                mend(s->snapshots_fd, snapshots);
        if (store_list_leftovers(s->snapshots_fd, STORE_UNWANTED_PREFIX, &unwanted) >= 0)
                mend(s->snapshots_fd, unwanted);
}
