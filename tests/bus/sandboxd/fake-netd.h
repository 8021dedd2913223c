/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

/* io.sandboxd.Net1 over a list: what the kernel would know of, so it outlives a crash. */

#define FAKE_WIRES_MAX 64U

typedef struct FakeWire {
        char id[33];
        bool member;
        uint32_t network, number;
} FakeWire;

typedef struct FakeList {
        char id[33];
        size_t n_prefixes, n_marks;
} FakeList;

typedef struct FakeNetd {
        Service *service;
        BusServer *server;
        int listen_fd;
        char path[108];
        FakeWire wires[FAKE_WIRES_MAX];
        size_t n_wires;
        FakeList lists[FAKE_WIRES_MAX];
        size_t n_lists;
        const char *resolver;   /* that Restrict() answers; NULL: none */
        unsigned n_calls;
        /* The connection is cut instead of an answer to the next call of this method, before or after its work. */
        const char *cut_before, *cut_after;
        /* The next call of this method fails so. */
        const char *fail_method, *fail_name;
        /* Before each call's work. May be NULL. */
        void (*on_call)(struct FakeNetd *f, const char *member, void *userdata);
        void *userdata;
} FakeNetd;

void fake_netd_start(FakeNetd *f, Service *service, const char *directory);
void fake_netd_stop(FakeNetd *f);
/* NULL: there is none. network < 0: the way out. */
FakeList *fake_netd_find_list(FakeNetd *f, const char *id);
FakeWire *fake_netd_find(FakeNetd *f, const char *id, int network);
