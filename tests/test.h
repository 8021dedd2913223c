/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

/* TEST(name) { ... } registers itself; link with test.c, which has main(). Asserts print both sides. */
void test_register(const char *name, void (*function)(void **state));

#define TEST(name)                                                                                 \
        static void test_##name(void);                                                             \
        static void test_wrap_##name(void **state) {                                               \
                (void) state;                                                                      \
                test_##name();                                                                     \
        }                                                                                          \
        __attribute__((constructor)) static void test_add_##name(void) {                           \
                test_register(#name, test_wrap_##name);                                            \
        }                                                                                          \
        static void test_##name(void)

#define ASSERT_TRUE(x) assert_true(x)
#define ASSERT_FALSE(x) assert_false(x)
#define ASSERT_EQ(a, b) assert_int_equal(a, b)
#define ASSERT_NE(a, b) assert_int_not_equal(a, b)
#define ASSERT_STREQ(a, b) assert_string_equal(a, b)
#define ASSERT_NULL(p) assert_null(p)
#define ASSERT_NOT_NULL(p) assert_non_null(p)
/* A result of ours: fails with the errno's text. Returns the value. */
#define ASSERT_OK(x) test_assert_ok((x), #x, __FILE__, __LINE__)
int test_assert_ok(int r, const char *expression, const char *file, int line);

/* Ends the program with 77 and the reason: "not run", never "passed". */
void test_skip(const char *reason) __attribute__((noreturn));

/* Takes the descriptor over. */
sd_bus *bus_on_socket(int fd, bool server);
/* Two connected sd_bus over a socketpair, no daemon, no thread. */
void bus_pair(sd_bus **ret_server, sd_bus **ret_client);
/* Calls and drives both ends until the reply or error stands in *ret_reply. */
void bus_call_and_wait(sd_bus *server, sd_bus *client, const char *path, const char *interface, const char *member,
                       sd_bus_message **ret_reply, const char *types, ...);
void bus_send_and_wait(sd_bus *server, sd_bus *client, sd_bus_message *call, sd_bus_message **ret_reply);
