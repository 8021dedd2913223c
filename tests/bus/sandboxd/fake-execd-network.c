/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>

#include "libsandbox/fd-util.h"
#include "tests/bus/sandboxd/fake-execd-method.h"
#include "tests/test.h"

static int method_open_network(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        FakeExecd *f = userdata;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(sd_bus_message_append(reply, "hh", fd, fd));
        return fake_execd_answer(f, m, reply);
}

const sd_bus_vtable fake_execd_network_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("OpenNetwork", "s", "hh", method_open_network, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
