/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/network.h"

/* A network as it is written down and shown. No bus. */

typedef struct NetworkMember {
        char sandbox[SANDBOX_PUBLIC_ID_SIZE];
        unsigned number;        /* 1 to NETWORK_MEMBERS_MAX */
        char address[16];       /* "": not known yet */
} NetworkMember;

struct Network {
        unsigned n_ref;
        Networks *networks;
        char id[40];
        char *name;
        unsigned number;
        uint64_t created_msec;
        NetworkMember *members; /* as they came */
        size_t n_members;
        bool leaving;           /* is being removed: nobody finds it */
        bool removed;           /* its record is gone */
};

int network_new(const char *name, unsigned number, uint64_t created_msec, Network **ret);
/* Both accept NULL. */
Network *network_ref(Network *network);
Network *network_unref(Network *network);
DEFINE_CLEANUP(Network *, network_unref)

/* NULL: it is no member. */
NetworkMember *network_get_member(const Network *network, const char *sandbox);
/* -EEXIST, -E2BIG. */
int network_add_member(Network *network, const char *sandbox);
bool network_drop_member(Network *network, const char *sandbox);

int network_save(Store *s, const Network *network);
/* -EBADMSG. */
int network_from_record(const char *record, Network **ret);
