/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"

/* io.sandboxd.Images1 and Files1 over a directory of the test. */
typedef struct FakeFsd {
        Service *service;
        BusServer *server;
        int listen_fd, root_fd;
        char path[108];
        char roots[1024][33];
        size_t n_roots;
        unsigned n_removed, n_volumes_removed;
        bool silent; /* RemoveRoot does nothing and is not answered */
        struct Transfer *appending;
        const char *cut_after; /* (FinishUpload) the connection ends when it is done */
        const char *cut_before, *fail_method, *fail_name;
} FakeFsd;

void fake_fsd_start(FakeFsd *f, Service *service, const char *directory);
void fake_fsd_stop(FakeFsd *f);
