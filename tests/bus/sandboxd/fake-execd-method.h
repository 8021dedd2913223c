/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tests/bus/sandboxd/fake-execd.h"

/* What the methods of the fake share. A noun has its methods in fake-execd-<noun>.c with a vtable of their own, which
 * is a row of fake-execd.c's list: sd-bus takes several of one interface. */

extern const sd_bus_vtable fake_execd_command_vtable[];
extern const sd_bus_vtable fake_execd_network_vtable[];
extern const sd_bus_vtable fake_execd_port_vtable[];
extern const sd_bus_vtable fake_execd_sandbox_vtable[];

/* Each method begins with FAKE_BEGIN() and ends with fake_execd_answer(): there the test's wishes (fail_method,
 * cut_before, cut_after...) are heard. */
#define FAKE_BEGIN(f, m, error)                                                                    \
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;                             \
        int r = fake_execd_interfere(f, m, error);                                                 \
        if (r != 0)                                                                                \
                return r;                                                                          \
        ASSERT_OK(sd_bus_message_new_method_return(m, &reply))

/* > 0: the call is done with. */
int fake_execd_interfere(FakeExecd *f, sd_bus_message *m, sd_bus_error *error);
int fake_execd_answer(FakeExecd *f, sd_bus_message *m, sd_bus_message *reply);

FakeSandbox *fake_execd_find(FakeExecd *f, const char *id);
/* Reads the id that the call begins with. NULL: there is none, and error says so. */
FakeSandbox *fake_execd_read_sandbox(FakeExecd *f, sd_bus_message *m, sd_bus_error *error);
void fake_execd_remove(FakeExecd *f, FakeSandbox *s);
/* Those of one sandbox, which are reaped later; all, which are gone on return. */
void fake_execd_kill_commands(FakeExecd *f, const char *id);
void fake_execd_end_commands(FakeExecd *f);
