/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* What happens below a directory of a sandbox, from an inotify instance that its file worker made for us. The kernel
 * keeps what we have not read yet and says when that became too much, so a slow reader costs us nothing. Nothing of
 * the sandbox is touched here: names are hostile text, and come out as valid UTF-8. */

typedef struct FileWatch FileWatch;

typedef struct WatchEvent {
        const char *type;       /* created, modified, attributes, deleted, moved, overflow */
        char *path, *from;      /* from: of moved */
        bool directory;
} WatchEvent;

void watch_event_done(WatchEvent *e);

/* Takes fd over, also on failure. */
int file_watch_new(int fd, const char *root, bool recursive, FileWatch **ret);
FileWatch *file_watch_free(FileWatch *w);
DEFINE_CLEANUP(FileWatch *, file_watch_free)
int file_watch_fd(const FileWatch *w);

/* Rows of Watch() and WatchMore(). found: of the latter, what is not known yet becomes an event. */
int file_watch_add(FileWatch *w, int wd, const char *path, bool found);
/* > 0: an event; 0: none now; -ENODATA: the directory itself is gone. asked: an answer of WatchMore() is to come, so
 * what happens at a watch that is not known waits for it. */
int file_watch_next(FileWatch *w, bool asked, WatchEvent *ret);
/* A directory that wants to be watched, too, and is forgotten by this; NULL: none. The caller frees it. */
char *file_watch_take_wanted(FileWatch *w);
/* One of them could not be watched: told as overflow. */
void file_watch_lost(FileWatch *w);
