/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/store.h"

/* Who serves sandboxes, and since when nobody has heard of him. Where that is kept is behind these verbs, so that it can
 * be a place that several machines share; now it is our own store. Every call answers at once. */

typedef struct Member {
        const char *id, *hostname;
        uint64_t active, max;   /* sandboxes; max 0: no limit */
        double cpu_percent;
        uint64_t heartbeat_msec;
} Member;

typedef int (*MemberHandler)(const Member *member, void *userdata);

typedef struct MembershipOps {
        /* Adds it, or replaces what was said of it before. */
        int (*put)(void *backend, const Member *member);
        int (*remove)(void *backend, const char *id);
        /* In the order in which they came first. The handler must change nothing. */
        int (*foreach)(void *backend, MemberHandler handler, void *userdata);
        void (*free)(void *backend);
} MembershipOps;

typedef struct Membership {
        const MembershipOps *ops;
        void *backend;
} Membership;

#define MEMBER_KIND "worker"

/* The store must outlive it. */
Membership membership_in_store(Store *s);
