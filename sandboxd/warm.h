/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/sandbox.h"

/* The warm pool: whole sandboxes of the profiles in III_POOL_PROFILES, made ahead, that no client sees or counts. A
 * creation that asks for such a one gets it; what is a client's own (name, metadata, environment, the end) is set then.
 *
 * They are not in the database. Their label at execd says what they are, so that a sandboxd that finds them after a
 * crash ends them; one that leaves because it is idle ends them first. All functions accept NULL: no pool. */

typedef struct Manager Manager;
typedef struct Warm Warm;

#define WARM_LABEL "warm"

/* *ret is NULL when the settings want none. */
int warm_new(Manager *m, Warm **ret);
Warm *warm_free(Warm *w);
DEFINE_CLEANUP(Warm *, warm_free)

/* Begins to make them; also after warm_drain(). */
void warm_start(Warm *w);
/* A creation: no moment for making more. */
void warm_note_busy(Warm *w);

/* What a creation asks for. */
typedef struct WarmWish {
        const char *image, *workdir;
        uint64_t memory_bytes;
        double cpu;
        bool network;
} WarmWish;

/* One that fits, off the pool, with a reference for the caller; or NULL. */
Sandbox *warm_take(Warm *w, const WarmWish *wish);
/* Room for a client's: ends one if there is any. */
void warm_evict(Warm *w);

/* By execd's id; NULL if it is none of ours. */
Sandbox *warm_get(const Warm *w, const char *id);
/* execd says that it ended. */
void warm_on_gone(Warm *w, const char *id);
/* All whose mark (seen) is not set ended; takes the marks away. */
void warm_forget_unseen(Warm *w);

/* Ends all; the number of those that are still there. */
size_t warm_drain(Warm *w);

typedef struct WarmFigures {
        const char *image;
        uint64_t memory_mib;
        double cpu;
        bool network;
        unsigned size, ready, making;
} WarmFigures;

size_t warm_count(const Warm *w);
/* Of the profile with this number; false: there are not so many. */
bool warm_get_figures(const Warm *w, size_t i, WarmFigures *ret);
