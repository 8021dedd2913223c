/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TESTS_MAX 256U

static struct CMUnitTest tests[TESTS_MAX];
static size_t n_tests;

void test_register(const char *name, void (*function)(void **state)) {
        if (n_tests == TESTS_MAX) {
                fputs("Too many tests in one program.\n", stderr);
                exit(1);
        }
        tests[n_tests++] = (struct CMUnitTest) { .name = name, .test_func = function };
}

int test_assert_ok(int r, const char *expression, const char *file, int line) {
        if (r < 0) {
                print_error("%s: %s\n", expression, strerror(-r));
                _fail(file, line);
        }
        return r;
}

void test_skip(const char *reason) {
        printf("skipped: %s\n", reason);
        exit(77);
}

sd_bus *bus_on_socket(int fd, bool server) {
        sd_id128_t id;
        sd_bus *bus;

        ASSERT_OK(sd_id128_randomize(&id));
        ASSERT_OK(sd_bus_new(&bus));
        ASSERT_OK(sd_bus_set_fd(bus, fd, fd));
        if (server)
                ASSERT_OK(sd_bus_set_server(bus, true, id));
        ASSERT_OK(sd_bus_negotiate_fds(bus, true));
        ASSERT_OK(sd_bus_start(bus));
        return bus;
}

void bus_pair(sd_bus **ret_server, sd_bus **ret_client) {
        int pair[2];

        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        *ret_server = bus_on_socket(pair[0], true);
        *ret_client = bus_on_socket(pair[1], false);
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) error;
        *(sd_bus_message **) userdata = sd_bus_message_ref(m);
        return 0;
}

void bus_send_and_wait(sd_bus *server, sd_bus *client, sd_bus_message *call, sd_bus_message **ret_reply) {
        *ret_reply = NULL;
        ASSERT_OK(sd_bus_call_async(client, NULL, call, on_reply, ret_reply, UINT64_C(30) * USEC_PER_SEC));
        while (!*ret_reply) {
                ASSERT_OK(sd_bus_process(server, NULL));
                ASSERT_OK(sd_bus_process(client, NULL));
        }
}

void bus_call_and_wait(sd_bus *server, sd_bus *client, const char *path, const char *interface, const char *member,
                       sd_bus_message **ret_reply, const char *types, ...) {
        sd_bus_message *call;
        va_list ap;

        ASSERT_OK(sd_bus_message_new_method_call(client, &call, NULL, path, interface, member));
        va_start(ap, types);
        ASSERT_OK(sd_bus_message_appendv(call, types, ap));
        va_end(ap);
        bus_send_and_wait(server, client, call, ret_reply);
        sd_bus_message_unref(call);
}

int main(void) {
        return _cmocka_run_group_tests("", tests, n_tests, NULL, NULL) == 0 ? 0 : 1;
}
