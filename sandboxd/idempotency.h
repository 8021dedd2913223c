/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/store.h"

/* What a client has made under a key of its own (header Idempotency-Key), so that a request which it repeats, because it
 * never saw the reply, makes nothing a second time. No HTTP here.
 *
 * The reply is remembered once there is one. What it is about is remembered before, together with that object's own
 * record: whoever is killed in between leaves a key that leads to what was made. */

#define IDEMPOTENCY_KIND "idempotency"
#define IDEMPOTENCY_KEY_MAX 255U
#define IDEMPOTENCY_REPLY_MAX (64U * 1024)
#define IDEMPOTENCY_ROWS_MAX 10000U
#define IDEMPOTENCY_AGE_MSEC (UINT64_C(24) * 3600 * 1000)

typedef struct Idempotency Idempotency;
/* A key at work: it lasts as long as anybody holds a reference. */
typedef struct IdempotencyUse IdempotencyUse;

int idempotency_new(Store *store, Idempotency **ret);
Idempotency *idempotency_free(Idempotency *i);
DEFINE_CLEANUP(Idempotency *, idempotency_free)

/* 1 to 255 visible characters of ASCII. */
bool idempotency_key_is_valid(const char *key);

typedef struct IdempotencyFound {
        unsigned status;        /* of the reply that is remembered; 0: none is */
        char *body;
        char object[40];        /* what was made; "": nothing that is known of */
} IdempotencyFound;

void idempotency_found_done(IdempotencyFound *f);

/* scope names everything that makes the key unique, body stands for what is asked. 0: it is new; *ret_use then, and
 * also if only the object is known. -EBUSY: at work; -EKEYREJECTED: seen with another body. */
int idempotency_begin(Idempotency *i, const char *scope, const char *body, uint64_t now_msec, IdempotencyFound *ret,
                      IdempotencyUse **ret_use);
IdempotencyUse *idempotency_use_ref(IdempotencyUse *u);
/* The last one: what has led to nothing is forgotten. */
IdempotencyUse *idempotency_use_unref(IdempotencyUse *u);
DEFINE_CLEANUP(IdempotencyUse *, idempotency_use_unref)

/* In one transaction with the object's own record. u may be NULL. */
int idempotency_note_object(IdempotencyUse *u, const char *object);
/* It came to nothing. */
int idempotency_forget_object(IdempotencyUse *u);
/* The end: a reply that made something. */
int idempotency_note_reply(IdempotencyUse *u, unsigned status, const char *body, size_t n);
