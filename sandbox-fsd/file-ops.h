/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-fsd/file-path.h"

/* What Files1 does, without a bus. Everything returns 0 or a negative errno; a walk stops at until_usec of
 * CLOCK_BOOTTIME. */

#define FILE_INLINE_MAX (64 * KiB)
#define FILE_READ_MAX (8 * GiB) /* of one Read() to the end; sparse giants are for ranges */
#define FILE_WRITE_MAX (8 * GiB)
#define FILE_LIST_MAX 10000U
#define FILE_SEARCH_MAX 10000U
#define FILE_SEARCH_VISITED_MAX 100000U
#define FILE_DEPTH_MAX 64U
#define FILE_WALK_USEC (10 * USEC_PER_SEC)
#define FILE_COPY_USEC (60 * USEC_PER_SEC)
#define FILE_STALL_MSEC 60000 /* a pipe that brings nothing for so long is given up */
#define FILE_DIRECTORY_MODE 0755

static inline uint64_t stat_mtime_msec(const struct stat *st) {
        if (st->st_mtim.tv_sec < 0)
                return 0;
        return (uint64_t) st->st_mtim.tv_sec * 1000 + (uint64_t) st->st_mtim.tv_nsec / 1000000;
}

/* file-read.c: at most size bytes from offset; the number read. */
ssize_t file_read_at(int fd, void *buffer, size_t size, uint64_t offset);

/* file-write.c: the whole file appears at once or not at all. The content comes from source_fd (a pipe or a regular
 * file at its position), or from bytes if source_fd is negative. -ECANCELED: the source ended early. */
typedef struct FileWrite {
        const char *path;
        mode_t mode;
        bool keep_mode; /* an existing file keeps its mode and owner */
        uint64_t size;
        int source_fd;
        const void *bytes;
} FileWrite;

int file_write(const FileRoot *root, const FileWrite *write);
/* A name for something that is to be renamed when it is whole. */
int file_temporary_name(char ret[32]);
/* Exactly size bytes. */
int file_copy_bytes(int from_fd, int to_fd, uint64_t size);
/* What a new file takes the place of. 1: a regular file, 0: nothing or a link, which is replaced. */
int file_look_at_replaced(int directory_fd, const char *name, struct stat *ret_st);
/* Mode and owner of what it replaces; NULL: the mode alone. */
int file_take_over_attributes(int fd, mode_t mode, const struct stat *replaced);
int file_make_parents(const FileRoot *root, const char *path);

/* file-upload.c: a file that comes in parts. They are gathered in another one, part, beside the target, where they stay
 * whatever happens to the sender or to us; the target is as it was until the end. */
typedef struct FileUpload {
        const char *path, *part;
        uint64_t size;
        mode_t mode;
        bool keep_mode;
} FileUpload;

/* -ENOSPC: there is no room for so much. */
int file_upload_begin(const FileRoot *root, const FileUpload *upload);
/* How much of it is there. Like the two below it waits a moment for who is at it; -ETXTBSY: that one goes on. */
int file_upload_size(const FileRoot *root, const char *part, uint64_t *ret_size);
/* At most size bytes of a pipe, or a regular file, to the end of part, which is at offset: else -ESTALE. A source that
 * ends early is no error: *ret_size is what is there now. */
typedef struct FileAppend {
        const char *part;
        uint64_t offset, size;
        int source_fd;
} FileAppend;

int file_upload_append(const FileRoot *root, const FileAppend *append, uint64_t *ret_size);
/* -ESTALE: it has another size. */
int file_upload_finish(const FileRoot *root, const FileUpload *upload);

/* file-list.c */
typedef struct FileEntry {
        const char *name, *path; /* valid UTF-8 */
        uint64_t size, mtime_msec;
        uint32_t mode;
        bool directory; /* or a link to one */
} FileEntry;

/* A positive answer ends the walk early. */
typedef int (*FileEntryHandler)(const FileEntry *entry, void *userdata);
typedef int (*FilePathHandler)(const char *path, void *userdata);

/* In the directory's own order, from entry skip on. *ret_more: it was ended before the end. */
typedef struct FileList {
        const char *path;
        uint64_t skip;
        uint32_t max;
        uint64_t until_usec;
} FileList;

int file_list(const FileRoot *root, const FileList *list, FileEntryHandler handler, void *userdata, bool *ret_more);
/* Regular files below the directory whose name matches. */
typedef struct FileSearch {
        const char *directory, *pattern;
        uint32_t max;
        uint64_t until_usec;
} FileSearch;

int file_search(const FileRoot *root, const FileSearch *search, FilePathHandler handler, void *userdata,
                bool *ret_more);

/* file-watch.c: an inotify instance, and watches on a directory and perhaps on all below it. -E2BIG: more than max, or
 * than the sandbox may have. */
typedef struct FileWatch {
        int inotify_fd;
        bool recursive;
        bool entries;       /* other entries are told, too, with wd -1 */
        uint32_t max;
        uint64_t until_usec;
} FileWatch;

#define FILE_WATCHES_MAX 4096U

/* path is valid UTF-8. */
typedef int (*FileWatchHandler)(int wd, const char *path, void *userdata);

int file_watch_open(void);
int file_watch(const FileRoot *root, const char *path, const FileWatch *watch, FileWatchHandler handler,
               void *userdata);

/* file-stat.c: of the link itself, if it is one. */
typedef struct FileInfo {
        char *link;         /* "" when it is none */
        char *owner, *group; /* names by the sandbox's own passwd and group, else numbers */
        uint64_t size, mtime_msec;
        uint32_t mode;
} FileInfo;

int file_stat(const FileRoot *root, const char *path, FileInfo *ret);
void file_info_done(FileInfo *info);

/* file-change.c */
int file_delete(const FileRoot *root, const char *path);
int file_make_directories(const FileRoot *root, const char *path);
int file_remove_tree(const FileRoot *root, const char *path, uint64_t until_usec);
int file_change_mode(const FileRoot *root, const char *path, const char *mode);

/* file-move.c: like mv: into an existing directory, across mounts by copying. */
int file_move(const FileRoot *root, const char *from, const char *to, uint64_t until_usec);
/* A copy of the entry, whatever it is but a device, under a name that does not exist. */
typedef struct FileCopy {
        int from_fd, to_fd;
        const char *from, *to;
        unsigned depth;
        uint64_t until_usec;
} FileCopy;

int file_copy_at(const FileCopy *copy);
