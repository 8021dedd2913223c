/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bus/sandboxd/fake-fsd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

static int on_crash(sd_event_source *source, void *userdata);

static int interfere(FakeFsd *f, sd_bus_message *m, sd_bus_error *error) {
        const char *member = sd_bus_message_get_member(m);
        sd_event_source *source;

        if (f->fail_method && streq(f->fail_method, member)) {
                f->fail_method = NULL;
                return bus_error_set(error, f->fail_name, "as the test wants it");
        }
        if (f->cut_before && streq(f->cut_before, member)) {
                f->cut_before = NULL;
                ASSERT_OK(sd_event_add_defer(service_event(f->service), &source, on_crash, f));
                ASSERT_OK(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT));
                ASSERT_OK(sd_event_source_set_floating(source, true));
                sd_event_source_unref(source);
                return 1;
        }
        return 0;
}

#define BEGIN(f, m, error)                                                                         \
        int r = interfere(f, m, error);                                                            \
        if (r != 0)                                                                                \
        return r

static int method_prepare_root(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *image, *id;
        FakeFsd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ss", &image, &id));
        if (!startswith(image, "test"))
                return bus_error_set(error, BUS_ERROR_NO_SUCH_IMAGE, "There is no image '%s'; known: test.", image);
        snprintf(f->roots[f->n_roots++], 33, "%s", id);
        return sd_bus_reply_method_return(m, "a(hsu)", 1, f->root_fd, "layer", 0U);
}

static int method_remove_root(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeFsd *f = userdata;
        const char *id;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        if (f->silent)
                return 1;
        for (size_t i = 0; i < f->n_roots; i++)
                if (streq(f->roots[i], id)) {
                        memmove(f->roots[i], f->roots[--f->n_roots], 33);
                        f->n_removed++;
                }
        return sd_bus_reply_method_return(m, NULL);
}

static int method_list_roots(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        FakeFsd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_new_method_return(m, &reply));
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "s"));
        for (size_t i = 0; i < f->n_roots; i++)
                ASSERT_OK(sd_bus_message_append_basic(reply, 's', f->roots[i]));
        ASSERT_OK(sd_bus_message_close_container(reply));
        return sd_bus_message_send(reply);
}

static int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BEGIN(userdata, m, error);
        return sd_bus_reply_method_return(m, "a(sssb)", 1, "test", "host", "/usr", 1);
}

/* Slashes of the path below the workspace become dots: one flat directory is enough. */
static void flatten(const char *path, char ret[256]) {
        snprintf(ret, 256, "file%.251s", path);
        for (char *p = ret; *p; p++)
                if (*p == '/')
                        *p = '.';
}

static int method_read(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = -EBADF;
        const char *id, *path;
        FakeFsd *f = userdata;
        struct stat st;
        char name[256];

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ss", &id, &path));
        flatten(path, name);
        fd = openat(f->root_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_FILE, "%s: No such file", path);
        ASSERT_EQ(fstat(fd, &st), 0);
        return sd_bus_reply_method_return(m, "htut", fd, (uint64_t) st.st_size, (uint32_t) st.st_mode,
                                          (uint64_t) st.st_mtime * 1000);
}

static int store(FakeFsd *f, const char *path, const char *data, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        char name[256];

        flatten(path, name);
        fd = openat(f->root_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        return loop_write(fd, data, n);
}

static int method_write_small(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *path;
        FakeFsd *f = userdata;
        const void *data;
        uint32_t mode;
        size_t n;
        int keep;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ssub", &id, &path, &mode, &keep));
        ASSERT_OK(sd_bus_message_read_array(m, 'y', &data, &n));
        ASSERT_OK(store(f, path, data, n));
        return sd_bus_reply_method_return(m, NULL);
}

typedef struct Transfer {
        FakeFsd *fsd;
        sd_bus_message *call;
        sd_event_source *source;
        int fd;
        char path[256];
        char *data;
        size_t n, size;
        bool append;
} Transfer;

static int append_end(Transfer *t) {
        _cleanup_close_ int fd = -EBADF;
        char name[256];
        struct stat st;

        t->fsd->appending = NULL;
        flatten(t->path, name);
        fd = openat(t->fsd->root_fd, name, O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_true(fd >= 0);
        ASSERT_OK(loop_write(fd, t->data, t->n));
        ASSERT_EQ(fstat(fd, &st), 0);
        return sd_bus_reply_method_return(t->call, "t", (uint64_t) st.st_size);
}

static int transfer_end(Transfer *t) {
        sd_bus_message *call = t->call;
        int r;

        sd_event_source_disable_unref(t->source);
        if (t->append)
                r = append_end(t);
        else if (t->n == t->size) {
                ASSERT_OK(store(t->fsd, t->path, t->data, t->n));
                r = sd_bus_reply_method_return(call, "t", (uint64_t) t->n);
        } else
                r = sd_bus_reply_method_errorf(call, BUS_ERROR_INTERRUPTED, "The upload was interrupted.");
        sd_bus_message_unref(call);
        safe_close(t->fd);
        free(t->data);
        free(t);
        return r < 0 ? r : 0;
}

static int on_transfer(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Transfer *t = userdata;
        ssize_t k = read(t->fd, t->data + t->n, t->size - t->n);

        (void) source;
        (void) fd;
        (void) events;
        if (k > 0)
                t->n += (size_t) k;
        return k <= 0 || t->n == t->size ? transfer_end(t) : 0;
}

static int method_write(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeFsd *f = userdata;
        const char *id, *path;
        uint64_t size;
        uint32_t mode;
        int keep, fd;
        Transfer *t;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ssubth", &id, &path, &mode, &keep, &size, &fd));
        t = new0(Transfer, 1);
        *t = (Transfer) { .fsd = f, .call = sd_bus_message_ref(m), .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
                          .size = (size_t) size };
        t->data = malloc(t->size + 1);
        snprintf(t->path, sizeof t->path, "%s", path);
        if (sd_event_add_io(service_event(f->service), &t->source, t->fd, EPOLLIN, on_transfer, t) >= 0)
                return 1;
        while (t->n < t->size) { /* a regular file cannot be polled */
                ssize_t k = read(t->fd, t->data + t->n, t->size - t->n);

                if (k <= 0)
                        break;
                t->n += (size_t) k;
        }
        ASSERT_OK(transfer_end(t));
        return 1;
}

static int file_size(FakeFsd *f, const char *path, uint64_t *ret, sd_bus_error *error) {
        struct stat st;
        char name[256];

        flatten(path, name);
        if (fstatat(f->root_fd, name, &st, 0) < 0)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_FILE, "%s: No such file", path);
        *ret = (uint64_t) st.st_size;
        return 0;
}

/* The next one waits for who is at it, whose client is gone by then. */
static void wait_appended(FakeFsd *f) {
        while (f->appending)
                (void) on_transfer(NULL, -EBADF, 0, f->appending);
}

static int method_begin_upload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *path, *part;
        FakeFsd *f = userdata;
        uint64_t size;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ssst", &id, &path, &part, &size));
        ASSERT_OK(store(f, part, "", 0));
        return sd_bus_reply_method_return(m, NULL);
}

static int method_upload_size(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *part;
        uint64_t size = 0;

        BEGIN(userdata, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ss", &id, &part));
        wait_appended(userdata);
        r = file_size(userdata, part, &size, error);
        return r < 0 ? r : sd_bus_reply_method_return(m, "t", size);
}

static int method_append(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *part;
        uint64_t offset, size, there = 0;
        FakeFsd *f = userdata;
        Transfer *t;
        int fd;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "sstth", &id, &part, &offset, &size, &fd));
        wait_appended(f);
        r = file_size(f, part, &there, error);
        if (r < 0)
                return r;
        if (there != offset)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "its size is another one");
        t = new0(Transfer, 1);
        *t = (Transfer) { .fsd = f, .call = sd_bus_message_ref(m), .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
                          .size = (size_t) size, .append = true };
        t->data = malloc(t->size + 1);
        snprintf(t->path, sizeof t->path, "%s", part);
        ASSERT_OK(sd_event_add_io(service_event(f->service), &t->source, t->fd, EPOLLIN, on_transfer, t));
        f->appending = t;
        return 1;
}

static int method_finish_upload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *path, *part;
        char from[256], to[256];
        FakeFsd *f = userdata;

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "sss", &id, &path, &part));
        flatten(part, from);
        flatten(path, to);
        if (renameat(f->root_fd, from, f->root_fd, to) < 0)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_FILE, "%s: No such file", part);
        if (f->cut_after && streq(f->cut_after, "FinishUpload")) {
                f->cut_before = f->cut_after;
                f->cut_after = NULL;
                return interfere(f, m, error);
        }
        return sd_bus_reply_method_return(m, NULL);
}

static int method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *path;
        FakeFsd *f = userdata;
        char name[256];

        BEGIN(f, m, error);
        ASSERT_OK(sd_bus_message_read(m, "ss", &id, &path));
        flatten(path, name);
        (void) unlinkat(f->root_fd, name, 0);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_stat(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **paths = NULL;
        const char *id;

        BEGIN(userdata, m, error);
        ASSERT_OK(sd_bus_message_read_basic(m, 's', &id));
        ASSERT_OK(sd_bus_message_read_strv(m, &paths));
        return sd_bus_reply_method_return(m, "a(sstusst)", 1, paths[0], "", UINT64_C(5), (uint32_t) S_IFREG | 0644,
                                          "root", "root", UINT64_C(1700000000000));
}

static int method_done(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BEGIN(userdata, m, error);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_list_directory(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BEGIN(userdata, m, error);
        return sd_bus_reply_method_return(m, "a(ssttub)b", 1, "a", "/workspace/a", UINT64_C(3),
                                          UINT64_C(1700000000000), 0644U, 0, 1);
}

static int method_search(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BEGIN(userdata, m, error);
        return sd_bus_reply_method_return(m, "asb", 1, "/workspace/a.txt", 0);
}

static int method_open_volume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeFsd *f = userdata;

        BEGIN(f, m, error);
        return sd_bus_reply_method_return(m, "h", f->root_fd);
}

static int method_remove_volume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeFsd *f = userdata;

        BEGIN(f, m, error);
        f->n_volumes_removed++;
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable volumes_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("OpenVolume", "st", "h", method_open_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RemoveVolume", "s", "", method_remove_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable images_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("List", "", "a(sssb)", method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("PrepareRoot", "ssa{sv}", "a(hsu)", method_prepare_root, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RemoveRoot", "s", "", method_remove_root, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListRoots", "", "as", method_list_roots, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable files_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Read", "sstt", "htut", method_read, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Write", "ssubth", "t", method_write, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("WriteSmall", "ssubay", "", method_write_small, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("BeginUpload", "ssst", "", method_begin_upload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("UploadSize", "ss", "t", method_upload_size, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Append", "sstth", "t", method_append, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("FinishUpload", "ssstub", "", method_finish_upload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Delete", "ss", "", method_delete, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Move", "sa(ss)", "", method_done, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("MakeDirectories", "sas", "", method_done, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RemoveTrees", "sas", "", method_done, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ChangeMode", "sss", "", method_done, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Stat", "sas", "a(sstusst)", method_stat, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListDirectory", "sstu", "a(ssttub)b", method_list_directory, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Search", "sssu", "asb", method_search, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connect(BusServer *server, sd_bus *bus, uid_t peer, void *userdata) {
        (void) server;
        (void) peer;
        ASSERT_OK(sd_bus_add_object_vtable(bus, NULL, FSD_OBJECT, IMAGES_INTERFACE, images_vtable, userdata));
        ASSERT_OK(sd_bus_add_object_vtable(bus, NULL, FSD_OBJECT, VOLUMES_INTERFACE, volumes_vtable, userdata));
        return sd_bus_add_object_vtable(bus, NULL, FSD_OBJECT, FILES_INTERFACE, files_vtable, userdata);
}

static void open_server(FakeFsd *f) {
        BusServerOptions options = { .service = f->service, .listen_fd = f->listen_fd, .on_connect = on_connect,
                                     .userdata = f };

        ASSERT_OK(bus_server_new(&options, &f->server));
}

static int on_crash(sd_event_source *source, void *userdata) {
        FakeFsd *f = userdata;

        (void) source;
        f->server = bus_server_free(f->server);
        open_server(f);
        return 0;
}

void fake_fsd_start(FakeFsd *f, Service *service, const char *directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *f = (FakeFsd) { .service = service };
        assert_true(snprintf(f->path, sizeof f->path, "%s/fsd.sock", directory) < (int) sizeof f->path);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), 0);
        ASSERT_EQ(listen(f->listen_fd, 16), 0);
        open_server(f);
}

void fake_fsd_stop(FakeFsd *f) {
        f->server = bus_server_free(f->server);
        safe_close(f->listen_fd);
        safe_close(f->root_fd);
}
