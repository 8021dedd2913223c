/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/bus-util.h"
#include "sandbox-fsd/images.h"
#include "sandbox-fsd/router.h"

/* The one owner of the daemon's state. */
typedef struct Manager {
        Service *service;
        Images images;
        Router *router;
        BusClient *execd;
        BusServer *server;
        bool collecting; /* execd was asked: its connection is needed */
} Manager;

typedef struct ManagerOptions {
        ImagesOptions images;
        const char *execd_path;
        uint64_t worker_idle_usec;
} ManagerOptions;

int manager_init(Manager *m, const ManagerOptions *options);
void manager_done(Manager *m);
/* Adds our objects to a client's connection. */
int manager_attach(Manager *m, sd_bus *bus);
