/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/bus/sandboxd/fake-execd-method.h"
#include "tests/test.h"

/* Exposed ports, entries of a list. Like the real one it answers a call that it has answered before with the same. */

static FakePort *find_port(FakeExecd *f, const char *id, uint16_t port, bool udp) {
        for (size_t i = 0; i < f->n_ports; i++)
                if (streq(f->ports[i].sandbox, id) && f->ports[i].container_port == port && f->ports[i].udp == udp)
                        return f->ports + i;
        return NULL;
}

void fake_execd_add_port(FakeExecd *f, const char *id, uint16_t port, bool udp, uint16_t host_port) {
        FakePort *p = f->ports + f->n_ports++;

        assert_true(f->n_ports <= FAKE_MAX);
        *p = (FakePort) { .container_port = port, .host_port = host_port, .udp = udp };
        memcpy(p->sandbox, id, sizeof p->sandbox);
}

static int method_expose(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        uint16_t port, host_port;
        const char *protocol;
        FakeSandbox *s;
        FakePort *p;
        int insist;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read(m, "qsqb", &port, &protocol, &host_port, &insist));
        if (insist && host_port < 1024)
                return bus_error_set(error, BUS_ERROR_DENIED, "Not given away: %u", host_port);
        if (!find_port(f, s->id, port, streq(protocol, "udp")))
                fake_execd_add_port(f, s->id, port, streq(protocol, "udp"),
                                    host_port < 1024 ? (uint16_t) (host_port + 20000) : host_port);
        p = find_port(f, s->id, port, streq(protocol, "udp"));
        ASSERT_OK(sd_bus_message_append(reply, "q", p->host_port));
        return fake_execd_answer(f, m, reply);
}

static int method_unexpose(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        const char *protocol;
        FakeSandbox *s;
        uint16_t port;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_read(m, "qs", &port, &protocol));
        for (int udp = 0; udp < 2; udp++) {
                FakePort *p = find_port(f, s->id, port, udp);

                if (p && (isempty(protocol) || streq(protocol, udp ? "udp" : "tcp")))
                        *p = f->ports[--f->n_ports];
        }
        return fake_execd_answer(f, m, reply);
}

static int method_ports(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeExecd *f = userdata;
        FakeSandbox *s;

        FAKE_BEGIN(f, m, error);
        s = fake_execd_read_sandbox(f, m, error);
        if (!s)
                return -ENXIO;
        ASSERT_OK(sd_bus_message_open_container(reply, 'a', "(qsqb)"));
        for (const FakePort *p = f->ports; p < f->ports + f->n_ports; p++)
                if (streq(p->sandbox, s->id))
                        ASSERT_OK(sd_bus_message_append(reply, "(qsqb)", p->container_port, p->udp ? "udp" : "tcp",
                                                        p->host_port, 1));
        ASSERT_OK(sd_bus_message_close_container(reply));
        return fake_execd_answer(f, m, reply);
}

const sd_bus_vtable fake_execd_port_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Expose", "sqsqb", "q", method_expose, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Unexpose", "sqs", "", method_unexpose, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Ports", "s", "a(qsqb)", method_ports, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
