/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/images-bus.h"
#include "sandbox-fsd/images.h"
#include "sandbox-fsd/tree-remove.h"
#include "tests/test.h"

#define ID_A "00112233445566778899aabbccddeeff"
#define ID_B "ffeeddccbbaa99887766554433221100"

/* Images1 with a store and a catalog of its own, and the real helpers of the built program. */
typedef struct Fixture {
        Service *service;
        Images images;
        sd_bus *client, *server;
        char directory[64], store[96], catalog[96];
        const char *catalogs[2];
} Fixture;

static sd_bus *bus_on(Fixture *f, int fd, bool server) {
        sd_bus *bus = bus_on_socket(fd, server);

        ASSERT_OK(sd_bus_attach_event(bus, service_event(f->service), SD_EVENT_PRIORITY_NORMAL));
        return bus;
}

static void add_catalog(Fixture *f, const char *name, const char *text) {
        _cleanup_close_ int fd = open(f->catalog, O_PATH | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(write_file_atomic_at(fd, name, text, 0644));
}

static void start_images(Fixture *f) {
        ASSERT_OK(images_init(&f->images, &(ImagesOptions) {
                .service = f->service,
                .program = getenv("SANDBOX_FSD_PROGRAM"),
                .store_directory = f->store,
                .catalog_directories = f->catalogs,
        }));
}

static void fixture_init(Fixture *f) {
        int pair[2];

        if (geteuid() != 0)
                test_skip("layers of the foreign range need root");
        *f = (Fixture) { .directory = "/tmp/test-images-XXXXXX" };
        (void) umask(0);
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        ASSERT_EQ(chmod(f->directory, 0755), 0);
        (void) snprintf(f->store, sizeof f->store, "%s/store", f->directory);
        (void) snprintf(f->catalog, sizeof f->catalog, "%s/catalog", f->directory);
        ASSERT_EQ(mkdir(f->catalog, 0755), 0);
        f->catalogs[0] = f->catalog;
        add_catalog(f, "host.conf", "[Image]\nName=host\nName=python:*\nSource=host\n");

        ASSERT_OK(service_new(&(ServiceOptions) { .program = "test", .idle_usec = USEC_INFINITY }, &f->service));
        start_images(f);
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        f->server = bus_on(f, pair[0], /* server= */ true);
        f->client = bus_on(f, pair[1], /* server= */ false);
        ASSERT_OK(sd_bus_add_object_vtable(f->server, NULL, FSD_OBJECT, IMAGES_INTERFACE, images_vtable, &f->images));
}

static void fixture_done(Fixture *f) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

        sd_bus_close_unref(f->client);
        sd_bus_close_unref(f->server);
        images_done(&f->images);
        service_free(f->service);
        ASSERT_OK(tree_remove_at(tmp_fd, f->directory + strlen("/tmp/"), USEC_INFINITY));
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) error;
        *(sd_bus_message **) userdata = sd_bus_message_ref(m);
        return 0;
}

static void send_prepare(Fixture *f, const char *image, const char *id, const char *writable, sd_bus_message **ret) {
        *ret = NULL;
        ASSERT_OK(sd_bus_call_method_async(f->client, NULL, NULL, FSD_OBJECT, IMAGES_INTERFACE, "PrepareRoot", on_reply,
                                           ret, "ssa{sv}", image, id, 1, "Writable", "s", writable));
}

static void run_until_reply(Fixture *f, sd_bus_message **reply) {
        while (!*reply)
                ASSERT_OK(sd_event_run(service_event(f->service), UINT64_MAX));
}

static void assert_prepare_fails(Fixture *f, const char *image, const char *name) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        send_prepare(f, image, ID_A, "disk", &reply);
        run_until_reply(f, &reply);
        if (!sd_bus_message_is_method_error(reply, NULL))
                fail_msg("image '%s' was prepared", image);
        ASSERT_STREQ(sd_bus_message_get_error(reply)->name, name);
}

/* The next mount of a reply, whose container is open. */
static int next_mount(sd_bus_message *reply, const char *target, uint32_t id_origin) {
        const char *t;
        uint32_t o;
        int fd;

        ASSERT_EQ(sd_bus_message_read(reply, "(hsu)", &fd, &t, &o), 1);
        ASSERT_STREQ(t, target);
        ASSERT_EQ(o, id_origin);
        return fd;
}

static void assert_owner(int fd, const char *path, uid_t uid, mode_t mode) {
        struct stat st;

        ASSERT_EQ(fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        ASSERT_EQ(st.st_uid, uid);
        ASSERT_EQ(st.st_gid, uid);
        ASSERT_EQ(st.st_mode & 07777, mode);
}

static void open_mounts(sd_bus_message *reply) {
        if (sd_bus_message_is_method_error(reply, NULL))
                fail_msg("%s", sd_bus_message_get_error(reply)->message);
        ASSERT_OK(sd_bus_message_enter_container(reply, 'a', "(hsu)"));
}

static size_t count_entries(Fixture *f, const char *directory) {
        char path[256];
        size_t n = 0;
        DIR *dir;

        (void) snprintf(path, sizeof path, "%s/%s", f->store, directory);
        dir = opendir(path);
        ASSERT_NOT_NULL(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n - 2;
}

TEST(host) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *again = NULL;
        _cleanup_(fixture_done) Fixture f;
        _cleanup_free_ char *shadow = NULL;
        struct stat st;
        int fd;

        fixture_init(&f);
        send_prepare(&f, "python:3.12", ID_A, "disk", &reply);
        run_until_reply(&f, &reply);
        open_mounts(reply);
        fd = next_mount(reply, "layer", FOREIGN_BASE);
        assert_owner(fd, ".", FOREIGN_BASE, 0700);
        assert_owner(fd, "etc/passwd", FOREIGN_BASE, 0644);
        assert_owner(fd, "tmp", FOREIGN_BASE, 01777);
        assert_owner(fd, "home/sandbox", FOREIGN_BASE + 1000, 0755);
        ASSERT_OK(read_text_at(fd, "etc/shadow", 4096, &shadow));
        ASSERT_NOT_NULL(startswith(shadow, "root:*:")); /* not the host's */
        ASSERT_NULL(strchr(shadow, '$'));
        ASSERT_EQ(fstatat(fd, "etc/machine-id", &st, AT_SYMLINK_NOFOLLOW), -1);
        ASSERT_EQ(fstatat(fd, "etc/ssl/private", &st, AT_SYMLINK_NOFOLLOW), -1);
        fd = next_mount(reply, "usr", 0);
        ASSERT_EQ(faccessat(fd, "bin/env", X_OK, 0), 0);
        fd = next_mount(reply, "upper", FOREIGN_BASE);
        assert_owner(fd, ".", FOREIGN_BASE, 0700);
        assert_owner(fd, "u", FOREIGN_BASE, 0755);
        assert_owner(fd, "w2", FOREIGN_BASE, 0700);
        ASSERT_EQ(sd_bus_message_exit_container(reply), 1);

        /* The second one finds the layer, and has no writable directory. */
        send_prepare(&f, "host", ID_B, "tmpfs", &again);
        run_until_reply(&f, &again);
        open_mounts(again);
        (void) next_mount(again, "layer", FOREIGN_BASE);
        (void) next_mount(again, "usr", 0);
        ASSERT_EQ(sd_bus_message_exit_container(again), 1);
        ASSERT_EQ(count_entries(&f, "images"), 1);
        ASSERT_EQ(count_entries(&f, "roots"), 1 + 2); /* and notes of both ones' layer */
}

TEST(refusals) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        add_catalog(&f, "zz.conf", "[Image]\nName=remote\nSource=docker.io/library/python\n"
                                   "[Image]\nName=gone\nSource=dir:/nonexistent/x\n");
        assert_prepare_fails(&f, "missing", BUS_ERROR_NO_SUCH_IMAGE);
        assert_prepare_fails(&f, "../x", BUS_ERROR_INVALID);
        assert_prepare_fails(&f, "-v", BUS_ERROR_INVALID);
        assert_prepare_fails(&f, "remote", BUS_ERROR_UNAVAILABLE);
        assert_prepare_fails(&f, "gone", BUS_ERROR_UNAVAILABLE);
        ASSERT_EQ(count_entries(&f, "roots"), 0);
}

static void write_tar(Fixture *f, const char *name, const char *entry_name) {
        struct archive_entry *entry = archive_entry_new();
        struct archive *a = archive_write_new();
        char path[256];

        (void) snprintf(path, sizeof path, "%s/%s", f->directory, name);
        ASSERT_EQ(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
        ASSERT_EQ(archive_write_add_filter_gzip(a), ARCHIVE_OK);
        ASSERT_EQ(archive_write_open_filename(a, path), ARCHIVE_OK);
        archive_entry_set_pathname(entry, entry_name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 04755);
        archive_entry_set_uid(entry, 5);
        archive_entry_set_gid(entry, 5);
        archive_entry_set_size(entry, 3);
        ASSERT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
        ASSERT_EQ(archive_write_data(a, "abc", 3), 3);
        archive_entry_free(entry);
        ASSERT_EQ(archive_write_free(a), ARCHIVE_OK);
}

TEST(tar_is_unpacked_once) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *one = NULL, *two = NULL, *third = NULL;
        _cleanup_(fixture_done) Fixture f;
        char text[256];
        int fd;

        fixture_init(&f);
        write_tar(&f, "a.tar.gz", "opt/program");
        (void) snprintf(text, sizeof text, "[Image]\nName=a\nSource=tar:%s/a.tar.gz\n", f.directory);
        add_catalog(&f, "a.conf", text);

        send_prepare(&f, "a", ID_A, "tmpfs", &one);
        send_prepare(&f, "a", ID_B, "tmpfs", &two);
        run_until_reply(&f, &one);
        run_until_reply(&f, &two);
        open_mounts(one);
        open_mounts(two);
        fd = next_mount(one, "layer", FOREIGN_BASE);
        assert_owner(fd, "opt/program", FOREIGN_BASE + 5, 04755);
        (void) next_mount(two, "layer", FOREIGN_BASE);
        /* The layer, and the link from the file to it. */
        ASSERT_EQ(count_entries(&f, "images"), 2);

        send_prepare(&f, "a", ID_A, "tmpfs", &third);
        run_until_reply(&f, &third);
        open_mounts(third);
        (void) next_mount(third, "layer", FOREIGN_BASE);
        ASSERT_EQ(count_entries(&f, "images"), 2);
}

static void run_until_empty(Fixture *f, const char *directory) {
        while (count_entries(f, directory) > 0)
                ASSERT_OK(sd_event_run(service_event(f->service), UINT64_MAX));
}

TEST(bad_tar_leaves_nothing) {
        _cleanup_(fixture_done) Fixture f;
        char text[256];

        fixture_init(&f);
        write_tar(&f, "bad.tar.gz", "../../outside");
        (void) snprintf(text, sizeof text, "[Image]\nName=bad\nSource=tar:%s/bad.tar.gz\n", f.directory);
        add_catalog(&f, "bad.conf", text);
        assert_prepare_fails(&f, "bad", BUS_ERROR_INVALID);
        run_until_empty(&f, "images");
        ASSERT_EQ(count_entries(&f, "roots"), 0);
}

static void call_and_wait(Fixture *f, const char *member, const char *id, sd_bus_message **reply) {
        *reply = NULL;
        ASSERT_OK(sd_bus_call_method_async(f->client, NULL, NULL, FSD_OBJECT, IMAGES_INTERFACE, member, on_reply, reply,
                                           id ? "s" : NULL, id));
        run_until_reply(f, reply);
        if (sd_bus_message_is_method_error(*reply, NULL))
                fail_msg("%s", sd_bus_message_get_error(*reply)->message);
}

TEST(roots_go_in_the_background) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *prepared = NULL, *list = NULL, *removed = NULL, *again = NULL;
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_(fixture_done) Fixture f;
        int fd;

        fixture_init(&f);
        send_prepare(&f, "host", ID_A, "disk", &prepared);
        run_until_reply(&f, &prepared);
        open_mounts(prepared);
        (void) next_mount(prepared, "layer", FOREIGN_BASE);
        (void) next_mount(prepared, "usr", 0);
        fd = next_mount(prepared, "upper", FOREIGN_BASE);

        /* What only root of the range may enter. */
        ASSERT_EQ(mkdirat(fd, "u/locked", 0), 0);
        ASSERT_EQ(mkdirat(fd, "u/locked/deep", 0), 0);
        ASSERT_EQ(fchownat(fd, "u/locked/deep", FOREIGN_BASE + 7, FOREIGN_BASE + 7, 0), 0);
        ASSERT_EQ(fchownat(fd, "u/locked", FOREIGN_BASE + 7, FOREIGN_BASE + 7, 0), 0);

        call_and_wait(&f, "ListRoots", NULL, &list);
        ASSERT_OK(sd_bus_message_read_strv(list, &ids));
        ASSERT_EQ(strv_length(ids), 1);
        ASSERT_STREQ(ids[0], ID_A);

        call_and_wait(&f, "RemoveRoot", ID_A, &removed);
        run_until_empty(&f, "roots");
        call_and_wait(&f, "RemoveRoot", ID_A, &again);
}

TEST(leftovers_go_at_start) {
        _cleanup_(fixture_done) Fixture f;
        char path[256];

        fixture_init(&f);
        images_done(&f.images);
        (void) snprintf(path, sizeof path, "%s/roots/.gone-1", f.store);
        ASSERT_EQ(mkdir(path, 0700), 0);
        (void) snprintf(path, sizeof path, "%s/roots/.gone-1/u", f.store);
        ASSERT_EQ(mkdir(path, 0700), 0);
        (void) snprintf(path, sizeof path, "%s/images/tmp-1", f.store);
        ASSERT_EQ(mkdir(path, 0700), 0);
        ASSERT_EQ(chown(path, FOREIGN_BASE, FOREIGN_BASE), 0);
        (void) snprintf(path, sizeof path, "%s/images/tmp-2", f.store);
        ASSERT_EQ(symlink("somewhere", path), 0);
        start_images(&f);
        run_until_empty(&f, "roots");
        run_until_empty(&f, "images");
}
