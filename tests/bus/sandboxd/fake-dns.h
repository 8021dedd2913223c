/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

/* io.sandboxd.Dns1 over a list. */

#define FAKE_NAMES_MAX 64U

typedef struct FakeNames {
        char id[33], address[16];
        char first[256];        /* "": there is none */
        size_t n;
} FakeNames;

typedef struct FakeDns {
        BusServer *server;
        int listen_fd;
        char path[108];
        FakeNames lists[FAKE_NAMES_MAX];
        size_t n_lists;
        /* So many calls of Set() fail. */
        unsigned n_failures;
} FakeDns;

void fake_dns_start(FakeDns *f, Service *service, const char *directory);
void fake_dns_stop(FakeDns *f);
/* NULL: there is none. */
FakeNames *fake_dns_find(FakeDns *f, const char *id);
