/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

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

static int answer_connect(FakeExecd *f, sd_bus_message *m) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_close_ int theirs = -EBADF;
        int pair[2];

        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        theirs = pair[1];
        assert_true(f->n_servers < FAKE_MAX);
        f->servers[f->n_servers++] = pair[0];
        ASSERT_OK(sd_bus_message_new_method_return(m, &reply));
        ASSERT_OK(sd_bus_message_append_basic(reply, 'h', &theirs));
        return fake_execd_answer(f, m, reply);
}

static int method_connect(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        uint32_t port;

        FAKE_BEGIN(f, m, error);
        if (!fake_execd_read_sandbox(f, m, error))
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read_basic(m, 'u', &port));
        if (!f->hold_connect)
                return answer_connect(f, m);
        assert_true(!f->held_connect);
        f->held_connect = sd_bus_message_ref(m);
        return 1;
}

void fake_execd_let_connect(FakeExecd *f) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = TAKE_PTR(f->held_connect);

        ASSERT_OK(answer_connect(f, m));
}

const sd_bus_vtable fake_execd_network_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("OpenNetwork", "s", "hh", method_open_network, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Connect", "su", "h", method_connect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
