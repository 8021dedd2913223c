/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"
#include "sandbox-fsd/files-server.h"
#include "sandbox-fsd/glob.h"
#include "sandbox-fsd/mode-change.h"

/* Files1 as methods: arguments out, one call of file-*.c, answer in. A worker serves one call at a time and may block
 * in it, which keeps all of this free of state; the router starts another worker meanwhile. */

/* A list that has become so long is continued by another call. */
#define REPLY_BYTES_MAX (4 * MiB)

static int method_read(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        _cleanup_close_ int fd = -EBADF;
        uint64_t offset, length;
        const char *path;
        struct stat st;
        int r;

        r = sd_bus_message_read(m, "sstt", NULL, &path, &offset, &length);
        if (r < 0)
                return r;

        fd = file_open_regular(&s->root, path, &st);
        if (fd < 0)
                return files_error(error, fd, path);
        if (offset > INT64_MAX || length > INT64_MAX)
                return files_error(error, -EINVAL, path);
        if (length == 0 && (uint64_t) st.st_size > usec_add(offset, FILE_READ_MAX))
                return files_error(error, -EFBIG, path);
        if (lseek(fd, (off_t) offset, SEEK_SET) < 0)
                return files_error(error, -errno, path);

        return sd_bus_reply_method_return(m, "htut", fd, (uint64_t) st.st_size, (uint32_t) st.st_mode,
                                          stat_mtime_msec(&st));
}

static int method_read_small(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        FilesServer *s = userdata;
        _cleanup_free_ char *buffer = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *path;
        struct stat st;
        uint64_t max;
        ssize_t n;
        int r;

        r = sd_bus_message_read(m, "sst", NULL, &path, &max);
        if (r < 0)
                return r;

        fd = file_open_regular(&s->root, path, &st);
        if (fd < 0)
                return files_error(error, fd, path);
        max = MIN(max, FILE_INLINE_MAX);
        max = MIN(max, (uint64_t) st.st_size);
        buffer = malloc(max + 1);
        if (!buffer)
                return -ENOMEM;
        n = file_read_at(fd, buffer, max, 0);
        if (n < 0)
                return files_error(error, (int) n, path);

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', buffer, (size_t) n);
        if (r >= 0)
                r = sd_bus_message_append(reply, "t", (uint64_t) st.st_size);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_write(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        FileWrite write = {};
        int keep_mode, r;

        r = sd_bus_message_read(m, "ssubth", NULL, &write.path, &write.mode, &keep_mode, &write.size, &write.source_fd);
        if (r < 0)
                return r;

        write.keep_mode = keep_mode;
        r = file_write(&s->root, &write);
        if (r < 0)
                return files_error(error, r, write.path);
        return sd_bus_reply_method_return(m, "t", write.size);
}

static int method_write_small(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        FileWrite write = { .source_fd = -EBADF };
        int keep_mode, r;
        size_t size;

        r = sd_bus_message_read(m, "ssub", NULL, &write.path, &write.mode, &keep_mode);
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &write.bytes, &size);
        if (r < 0)
                return r;
        if (size > FILE_INLINE_MAX)
                return files_error(error, -EFBIG, write.path);

        write.keep_mode = keep_mode;
        write.size = size;
        r = file_write(&s->root, &write);
        if (r < 0)
                return files_error(error, r, write.path);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_begin_upload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        FileUpload upload = {};
        int r;

        r = sd_bus_message_read(m, "ssst", NULL, &upload.path, &upload.part, &upload.size);
        if (r < 0)
                return r;
        r = file_upload_begin(&s->root, &upload);
        return r < 0 ? files_error(error, r, upload.path) : sd_bus_reply_method_return(m, NULL);
}

static int method_upload_size(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        const char *part;
        uint64_t size;
        int r;

        r = sd_bus_message_read(m, "ss", NULL, &part);
        if (r < 0)
                return r;
        r = file_upload_size(&s->root, part, &size);
        return r < 0 ? files_error(error, r, part) : sd_bus_reply_method_return(m, "t", size);
}

static int method_append(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        FileAppend append = {};
        uint64_t size;
        int r;

        r = sd_bus_message_read(m, "sstth", NULL, &append.part, &append.offset, &append.size, &append.source_fd);
        if (r < 0)
                return r;
        r = file_upload_append(&s->root, &append, &size);
        return r < 0 ? files_error(error, r, append.part) : sd_bus_reply_method_return(m, "t", size);
}

static int method_finish_upload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        FileUpload upload = {};
        int keep_mode, r;

        r = sd_bus_message_read(m, "ssstub", NULL, &upload.path, &upload.part, &upload.size, &upload.mode, &keep_mode);
        if (r < 0)
                return r;
        upload.keep_mode = keep_mode;
        r = file_upload_finish(&s->root, &upload);
        return r < 0 ? files_error(error, r, r == -ENOENT ? upload.part : upload.path)
                     : sd_bus_reply_method_return(m, NULL);
}

static int method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        const char *path;
        int r;

        r = sd_bus_message_read(m, "ss", NULL, &path);
        if (r < 0)
                return r;
        r = file_delete(&s->root, path);
        if (r < 0)
                return files_error(error, r, path);
        return sd_bus_reply_method_return(m, NULL);
}

/* An array of a reply, whose end is a flag for "there is more". */
typedef struct ReplyList {
        sd_bus_message *message;
        size_t bytes;
} ReplyList;

static void reply_list_done(ReplyList *l) {
        sd_bus_message_unref(l->message);
}

static int reply_list_begin(ReplyList *l, sd_bus_message *m, const char *type) {
        int r;

        r = sd_bus_message_new_method_return(m, &l->message);
        return r < 0 ? r : sd_bus_message_open_container(l->message, 'a', type);
}

static int reply_list_send(ReplyList *l, bool more) {
        int r;

        r = sd_bus_message_close_container(l->message);
        if (r >= 0)
                r = sd_bus_message_append(l->message, "b", more);
        return r < 0 ? r : sd_bus_send(NULL, l->message, NULL);
}

static int append_entry(const FileEntry *e, void *userdata) {
        ReplyList *l = userdata;
        int r;

        l->bytes += strlen(e->name) + strlen(e->path);
        r = sd_bus_message_append(l->message, "(ssttub)", e->name, e->path, e->size, e->mtime_msec, e->mode,
                                  e->directory);
        return r < 0 ? r : l->bytes > REPLY_BYTES_MAX;
}

static int append_path(const char *path, void *userdata) {
        ReplyList *l = userdata;
        int r;

        l->bytes += strlen(path);
        r = sd_bus_message_append(l->message, "s", path);
        return r < 0 ? r : l->bytes > REPLY_BYTES_MAX;
}

static uint32_t limit_count(uint32_t max, uint32_t limit) {
        return max == 0 ? limit : MIN(max, limit);
}

static int method_list_directory(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FileList list = { .until_usec = usec_add(now_usec(CLOCK_BOOTTIME), FILE_WALK_USEC) };
        _cleanup_(reply_list_done) ReplyList reply = {};
        FilesServer *s = userdata;
        bool more;
        int r;

        r = sd_bus_message_read(m, "sstu", NULL, &list.path, &list.skip, &list.max);
        if (r >= 0)
                r = reply_list_begin(&reply, m, "(ssttub)");
        if (r < 0)
                return r;

        list.max = limit_count(list.max, FILE_LIST_MAX);
        r = file_list(&s->root, &list, append_entry, &reply, &more);
        if (r < 0)
                return files_error(error, r, list.path);
        return reply_list_send(&reply, more);
}

static int method_search(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FileSearch search = { .until_usec = usec_add(now_usec(CLOCK_BOOTTIME), FILE_WALK_USEC) };
        _cleanup_(reply_list_done) ReplyList reply = {};
        FilesServer *s = userdata;
        bool more;
        int r;

        r = sd_bus_message_read(m, "sssu", NULL, &search.directory, &search.pattern, &search.max);
        if (r >= 0)
                r = reply_list_begin(&reply, m, "s");
        if (r < 0)
                return r;
        if (!glob_is_valid(search.pattern))
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid search pattern.");

        search.max = limit_count(search.max, FILE_SEARCH_MAX);
        r = file_search(&s->root, &search, append_path, &reply, &more);
        if (r < 0)
                return files_error(error, r, search.directory);
        return reply_list_send(&reply, more);
}

static int append_info(FilesServer *s, sd_bus_message *reply, const char *path) {
        _cleanup_(file_info_done) FileInfo info = {};
        int r;

        r = file_stat(&s->root, path, &info);
        if (r < 0)
                return r;
        return sd_bus_message_append(reply, "(sstusst)", path, info.link, info.size, info.mode, info.owner, info.group,
                                     info.mtime_msec);
}

static int method_stat(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        FilesServer *s = userdata;
        const char *path;
        int r;

        r = sd_bus_message_read(m, "s", NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "s");
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sstusst)");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_read(m, "s", &path)) > 0) {
                r = append_info(s, reply, path);
                if (r < 0)
                        return files_error(error, r, path);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_move(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        uint64_t until_usec = usec_add(now_usec(CLOCK_BOOTTIME), FILE_COPY_USEC);
        FilesServer *s = userdata;
        const char *from, *to;
        int r;

        r = sd_bus_message_read(m, "s", NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(ss)");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_read(m, "(ss)", &from, &to)) > 0) {
                r = file_move(&s->root, from, to, until_usec);
                if (r < 0)
                        return files_error(error, r, from);
        }
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

/* Does the same to each path of "s id, as paths" and stops at the first failure. */
static int for_each_path(sd_bus_message *m, FilesServer *s, sd_bus_error *error,
                         int (*function)(const FileRoot *root, const char *path, uint64_t until_usec)) {
        uint64_t until_usec = usec_add(now_usec(CLOCK_BOOTTIME), FILE_WALK_USEC);
        const char *path;
        int r;

        r = sd_bus_message_read(m, "s", NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "s");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_read(m, "s", &path)) > 0) {
                r = function(&s->root, path, until_usec);
                if (r < 0)
                        return files_error(error, r, path);
        }
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static int make_directories(const FileRoot *root, const char *path, uint64_t until_usec) {
        (void) until_usec;
        return file_make_directories(root, path);
}

static int method_make_directories(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return for_each_path(m, userdata, error, make_directories);
}

static int method_remove_trees(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return for_each_path(m, userdata, error, file_remove_tree);
}

static int method_change_mode(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FilesServer *s = userdata;
        const char *path, *mode;
        mode_t ignored;
        int r;

        r = sd_bus_message_read(m, "sss", NULL, &path, &mode);
        if (r < 0)
                return r;
        if (mode_change(mode, S_IFREG, &ignored) < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid chmod mode: %.16s", mode);
        r = file_change_mode(&s->root, path, mode);
        if (r < 0)
                return files_error(error, r, path);
        return sd_bus_reply_method_return(m, NULL);
}

static int append_watch(int wd, const char *path, void *userdata) {
        return sd_bus_message_append(userdata, "(is)", wd, path);
}

static int append_watches(FilesServer *s, sd_bus_message *reply, const char *path, FileWatch *watch,
                          sd_bus_error *error) {
        int r;

        watch->max = FILE_WATCHES_MAX;
        watch->until_usec = now_usec(CLOCK_BOOTTIME) + FILE_WALK_USEC;
        r = file_watch(&s->root, path, watch, append_watch, reply);
        return r < 0 ? files_error(error, r, path) : 0;
}

static int method_watch(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        FilesServer *s = userdata;
        _cleanup_close_ int fd = -EBADF;
        FileWatch watch = {};
        const char *path;
        int recursive, r;

        r = sd_bus_message_read(m, "ssb", NULL, &path, &recursive);
        if (r < 0)
                return r;
        fd = file_watch_open();
        if (fd < 0)
                return files_error(error, fd, path);
        watch = (FileWatch) { .inotify_fd = fd, .recursive = recursive };
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 'h', &fd);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(is)");
        if (r >= 0)
                r = append_watches(s, reply, path, &watch, error);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_watch_more(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        FilesServer *s = userdata;
        FileWatch watch = { .recursive = true, .entries = true };
        const char *path;
        int r;

        r = sd_bus_message_read(m, "shs", NULL, &watch.inotify_fd, &path);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(is)");
        if (r >= 0)
                r = append_watches(s, reply, path, &watch, error);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* The other end of the socket is sandbox-fsd's alone, hence UNPRIVILEGED. */
const sd_bus_vtable files_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Read", SD_BUS_ARGS("s", id, "s", path, "t", offset, "t", length),
                                SD_BUS_RESULT("h", file, "t", size, "u", mode, "t", mtime_msec),
                                method_read, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReadSmall", SD_BUS_ARGS("s", id, "s", path, "t", max),
                                SD_BUS_RESULT("ay", bytes, "t", size), method_read_small, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Write", SD_BUS_ARGS("s", id, "s", path, "u", mode, "b", keep_mode, "t", size,
                                                     "h", source),
                                SD_BUS_RESULT("t", written), method_write, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WriteSmall", SD_BUS_ARGS("s", id, "s", path, "u", mode, "b", keep_mode, "ay", bytes),
                                SD_BUS_NO_RESULT, method_write_small, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("BeginUpload", SD_BUS_ARGS("s", id, "s", path, "s", part, "t", size),
                                SD_BUS_NO_RESULT, method_begin_upload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("UploadSize", SD_BUS_ARGS("s", id, "s", part),
                                SD_BUS_RESULT("t", size), method_upload_size, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Append", SD_BUS_ARGS("s", id, "s", part, "t", offset, "t", length, "h", source),
                                SD_BUS_RESULT("t", size), method_append, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("FinishUpload", SD_BUS_ARGS("s", id, "s", path, "s", part, "t", size, "u", mode,
                                                            "b", keep_mode),
                                SD_BUS_NO_RESULT, method_finish_upload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Delete", SD_BUS_ARGS("s", id, "s", path),
                                SD_BUS_NO_RESULT, method_delete, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListDirectory", SD_BUS_ARGS("s", id, "s", path, "t", skip, "u", max),
                                SD_BUS_RESULT("a(ssttub)", entries, "b", more),
                                method_list_directory, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Search", SD_BUS_ARGS("s", id, "s", directory, "s", pattern, "u", max),
                                SD_BUS_RESULT("as", paths, "b", more), method_search, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stat", SD_BUS_ARGS("s", id, "as", paths),
                                SD_BUS_RESULT("a(sstusst)", infos), method_stat, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Move", SD_BUS_ARGS("s", id, "a(ss)", moves),
                                SD_BUS_NO_RESULT, method_move, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("MakeDirectories", SD_BUS_ARGS("s", id, "as", paths),
                                SD_BUS_NO_RESULT, method_make_directories, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveTrees", SD_BUS_ARGS("s", id, "as", paths),
                                SD_BUS_NO_RESULT, method_remove_trees, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ChangeMode", SD_BUS_ARGS("s", id, "s", path, "s", mode),
                                SD_BUS_NO_RESULT, method_change_mode, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Watch", SD_BUS_ARGS("s", id, "s", path, "b", recursive),
                                SD_BUS_RESULT("h", inotify, "a(is)", watches), method_watch,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WatchMore", SD_BUS_ARGS("s", id, "h", inotify, "s", path),
                                SD_BUS_RESULT("a(is)", watches), method_watch_more, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END
};
