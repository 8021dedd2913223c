/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Volumes: what is mounted where, and nothing twice. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/volume-spec.h"
#include "tests/bus/sandboxd/fake-execd-method.h"
#include "tests/test.h"

FakeVolume *fake_execd_find_volume(FakeExecd *f, const char *id) {
        for (size_t i = 0; i < f->n_volumes; i++)
                if (streq(f->volumes[i].id, id))
                        return f->volumes + i;
        return NULL;
}

static void read_volume(sd_bus_message *m, const char **ret_id, const char **ret_path) {
        int fd;

        ASSERT_OK(sd_bus_message_read(m, "sh", ret_id, &fd));
        ASSERT_TRUE(fcntl(fd, F_GETFD) >= 0);
        if (ret_path)
                ASSERT_OK(sd_bus_message_read_basic(m, 's', ret_path));
}

static int method_attach_volume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *path;
        FakeExecd *f = userdata;
        VolumeSpec spec = {};
        FakeSandbox *s;
        FakeVolume *v;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENOENT;
        read_volume(m, &id, &path);
        ASSERT_OK(bus_fields_read(m, volume_spec_fields, n_volume_spec_fields, &spec, error));
        v = fake_execd_find_volume(f, id);
        if (v) /* asked for once more */
                ASSERT_TRUE(streq(v->sandbox, s->id) && streq(v->path, path));
        else {
                assert_true(f->n_volumes < ELEMENTSOF(f->volumes));
                v = f->volumes + f->n_volumes++;
        }
        *v = (FakeVolume) { .read_only = spec.read_only, .bytes = spec.bytes };
        snprintf(v->sandbox, sizeof v->sandbox, "%s", s->id);
        snprintf(v->id, sizeof v->id, "%s", id);
        snprintf(v->path, sizeof v->path, "%s", path);
        return fake_execd_answer(f, m, reply);
}

static int method_detach_volume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id, *path;
        FakeExecd *f = userdata;
        FakeVolume *v;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENOENT;
        read_volume(m, &id, &path);
        v = fake_execd_find_volume(f, id);
        if (v)
                *v = f->volumes[--f->n_volumes];
        return fake_execd_answer(f, m, reply);
}

static int method_release_volume(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *id;

        FAKE_BEGIN(f, m, error);
        read_volume(m, &id, NULL);
        ASSERT_NULL(fake_execd_find_volume(f, id));
        return fake_execd_answer(f, m, reply);
}

static int method_volume_usage(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *id;

        FAKE_BEGIN(f, m, error);
        read_volume(m, &id, NULL);
        ASSERT_OK(sd_bus_message_append(reply, "tt", UINT64_C(4096), UINT64_C(1) << 30));
        return fake_execd_answer(f, m, reply);
}

const sd_bus_vtable fake_execd_volume_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("AttachVolume", "sshsa{sv}", "", method_attach_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("DetachVolume", "sshs", "", method_detach_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ReleaseVolume", "sh", "", method_release_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("VolumeUsage", "sh", "tt", method_volume_usage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
